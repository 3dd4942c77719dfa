import Foundation
import Sockets

/// How many are here.
private final class Count: @unchecked Sendable {
    private let lock = NSLock()
    private var present: Set<Int32> = []
    func enter(_ connection: Int32) { lock.withLock { _ = present.insert(connection) } }
    func leave(_ connection: Int32) { lock.withLock { _ = present.remove(connection) } }
}

func threadedServer(host: String, port: UInt16) throws {
    let listener = try makeListener(host: host, port: port)
    defer { close(listener) }
    let count = Count()
    while true {
        let connection = try acceptClient(listener)
        count.enter(connection)
        Thread.detachNewThread {
            defer { close(connection) }
            serve(connection)
            count.leave(connection)
        }
    }
}
