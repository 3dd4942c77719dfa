// Exercise 13 connection-pool: lend connections, take them back, lend them again.
//
// Calls that you need: socket(2), connect(2), recv(2) with MSG_PEEK | MSG_DONTWAIT, close(2); NSCondition, since many
// threads come at once.
// Read: Lessons/13-throughput/README.md      Check: lab check 13 connection-pool
import Course
import Foundation
import Sockets

/// What each function promises stands at `ConnectionLender` in Sources/Course/Lesson13.swift.
final class ConnectionPool: ConnectionLender {
    private let address: SocketAddress
    private let limit: Int
    private let idleLimit: Milliseconds

    /// - Parameter limit: how many connections there may be at once, lent and idle together.
    /// - Parameter idleLimit: one that has not been used for so long is closed, not lent.
    init(host: String, port: UInt16, limit: Int, idleLimit: Milliseconds) throws {
        address = try SocketAddress(host: host, port: port)
        self.limit = limit
        self.idleLimit = idleLimit
    }

    func withConnection<Result>(timeout: Milliseconds, _ body: (Int32) throws -> Result) throws -> Result {
        // Step 1: an idle connection, or a new one. Give it to `body`, and keep it when `body` is done.
        todo("step 1: lend a connection, keep it, lend it again")

        // Step 2: no more than `limit`. While all are lent: wait until one comes back, or throw PoolError.timedOut.
        //     condition.lock(), wait(until: Date), signal(), unlock()

        // Step 3: before you lend an idle one: has the peer closed it, or said something that nobody asked for? Has it been
        //     idle too long? Then close it, and take the next.

        // Step 4: `body` throws, or connect fails: what becomes of the connection, and of its place?
    }

    func closeAll() {
        // Step 5: close what is idle now, and what is lent when it comes back. Who waits must not wait on.
        todo("step 5: close")
    }
}
