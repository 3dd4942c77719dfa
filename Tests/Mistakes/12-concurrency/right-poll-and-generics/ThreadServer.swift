import Foundation
import Sockets

func threadServer(host: String, port: UInt16) throws {
    let door = try open(host, port)
    defer { close(door) }
    while true {
        if let guest = try admit(door) {
            Thread {
                talk(guest)
                close(guest)
            }.start()
        }
    }
}
