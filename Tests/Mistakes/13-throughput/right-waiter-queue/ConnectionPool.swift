import Course
import Dispatch
import Foundation
import Sockets

final class ConnectionPool: ConnectionLender {
    private final class Waiter {
        enum Word { case come, closed }
        let bell = DispatchSemaphore(value: 0)
        var word: Word?  // under the lock
    }

    private let address: SocketAddress
    private let limit: Int
    private let idleLimit: Milliseconds
    private let lock = NSLock()
    private var idle: [(connection: Int32, since: DispatchTime)] = []
    private var queue: [Waiter] = []
    private var lent = 0
    private var closed = false

    init(host: String, port: UInt16, limit: Int, idleLimit: Milliseconds) throws {
        address = try SocketAddress(host: host, port: port)
        (self.limit, self.idleLimit) = (limit, idleLimit)
    }

    func withConnection<Result>(timeout: Milliseconds, _ body: (Int32) throws -> Result) throws -> Result {
        try takePlace(.now() + .milliseconds(timeout))
        var returned: Int32?
        defer { leavePlace(returned) }
        let connection = try lock.withLock { pick() } ?? connected()
        do {
            let result = try body(connection)
            returned = connection
            return result
        } catch {
            close(connection)
            throw error
        }
    }

    func closeAll() {
        lock.lock()
        defer { lock.unlock() }
        closed = true
        idle.forEach { close($0.connection) }
        idle.removeAll()
        for waiter in queue {
            waiter.word = .closed
            waiter.bell.signal()
        }
        queue.removeAll()
    }

    private func takePlace(_ deadline: DispatchTime) throws {
        let waiter: Waiter? = try lock.withLock {
            if closed { throw PoolError.closed }
            if lent < limit {
                lent += 1
                return nil
            }
            let waiter = Waiter()
            queue.append(waiter)
            return waiter
        }
        guard let waiter else { return }
        _ = waiter.bell.wait(timeout: deadline)
        try lock.withLock {
            switch waiter.word {
            case nil:
                queue.removeAll { $0 === waiter }
                throw PoolError.timedOut
            case .closed: throw PoolError.closed
            case .come:
                guard closed else { return }
                handOn()
                throw PoolError.closed
            }
        }
    }

    private func leavePlace(_ connection: Int32?) {
        lock.withLock {
            if let connection {
                if closed { close(connection) } else { idle.append((connection, .now())) }
            }
            handOn()
        }
    }

    /// To the one who has waited longest; it stays lent then.
    private func handOn() {
        guard !queue.isEmpty else {
            lent -= 1
            return
        }
        let next = queue.removeFirst()
        next.word = .come
        next.bell.signal()
    }

    private func pick() -> Int32? {
        while let (connection, since) = idle.popLast() {
            var byte: UInt8 = 0
            if DispatchTime.now() <= since + .milliseconds(idleLimit),
                recv(connection, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == -1, errno == EAGAIN || errno == EWOULDBLOCK
            {
                return connection
            }
            close(connection)
        }
        return nil
    }

    private func connected() throws -> Int32 {
        let connection = try check("socket", socket(address.family, SOCK_STREAM, 0))
        do {
            while true {
                let result = address.withSockaddr { connect(connection, $0, $1) }
                if result == 0 || errno == EISCONN { return connection }
                if errno != EINTR { throw SocketError("connect", errno) }
            }
        } catch {
            close(connection)
            throw error
        }
    }
}
