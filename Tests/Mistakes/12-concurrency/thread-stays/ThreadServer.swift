import Foundation
import Sockets

func threadServer(host: String, port: UInt16) throws {
    let listener = try makeListener(host: host, port: port)
    defer { close(listener) }
    while true {
        let connection = try acceptClient(listener)
        Thread.detachNewThread {
            serve(connection)
            close(connection)
            sleep(600)
        }
    }
}
