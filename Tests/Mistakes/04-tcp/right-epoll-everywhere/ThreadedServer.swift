import Foundation
import Sockets

func threadedServer(host: String, port: UInt16) throws {
    let door = try Door(host, port)
    defer { door.close() }
    while true {
        let guest = try door.next()
        Thread.detachNewThread { serve(guest) }
    }
}
