import Foundation
import Sockets

func threadedServer(host: String, port: UInt16) throws {
    let listener = try makeListener(host: host, port: port)
    defer { close(listener) }
    while true {
        let connection = try acceptClient(listener)
        serve(connection)
    }
}
