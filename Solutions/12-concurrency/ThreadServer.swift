import Foundation
import Sockets

/// A thread for each client. Cheaper than a process, and nothing bounds their number: ten thousand clients are ten thousand
/// threads, each with a stack of its own.
func threadServer(host: String, port: UInt16) throws {
    let listener = try makeListener(host: host, port: port)
    defer { close(listener) }
    while true {
        // A constant of its own for each turn of the loop: no thread sees another one's connection.
        let connection = try acceptClient(listener)
        Thread.detachNewThread {
            serve(connection)
            close(connection)
        }
    }
}
