import Course
import Dispatch
import Foundation
import Sockets

/// One who waits in the queue, and what he is told.
private final class Ticket {
    enum Answer { case place, closed }
    let bell = DispatchSemaphore(value: 0)
    var answer: Answer?
}

final class ConnectionPool: ConnectionLender {
    private let address: SocketAddress
    private let limit: Int
    private let idleLimit: Milliseconds

    private let lock = NSLock()
    private var places: Int
    private var queue: [Ticket] = []
    private var rested: [(connection: Int32, at: DispatchTime)] = []
    private var over = false

    init(host: String, port: UInt16, limit: Int, idleLimit: Milliseconds) throws {
        address = try SocketAddress(host: host, port: port)
        self.limit = limit
        self.idleLimit = idleLimit
        places = limit
    }

    func withConnection<Result>(timeout: Milliseconds, _ body: (Int32) throws -> Result) throws -> Result {
        try takePlace(timeout)
        defer { leavePlace() }
        let connection = try wakeOne() ?? dial()
        do {
            let result = try body(connection)
            rest(connection)
            return result
        } catch {
            close(connection)
            throw error
        }
    }

    func closeAll() {
        lock.lock()
        over = true
        let (idle, waiting) = (rested, queue)
        rested = []
        queue = []
        for ticket in waiting { ticket.answer = .closed }
        lock.unlock()
        for ticket in waiting { ticket.bell.signal() }
        for entry in idle { close(entry.connection) }
    }

    // MARK: Places

    private func takePlace(_ timeout: Milliseconds) throws {
        let end = DispatchTime.now() + .milliseconds(timeout)
        lock.lock()
        if over {
            lock.unlock()
            throw PoolError.closed
        }
        if places > 0 {
            places -= 1
            lock.unlock()
            return
        }
        let ticket = Ticket()
        queue.append(ticket)
        lock.unlock()

        _ = ticket.bell.wait(timeout: end)

        lock.lock()
        defer { lock.unlock() }
        switch ticket.answer {
        case .place: return
        case .closed: throw PoolError.closed
        case nil:
            queue.removeAll { $0 === ticket }
            throw PoolError.timedOut
        }
    }

    /// To the one who has waited longest, or back on the heap.
    private func leavePlace() {
        lock.lock()
        defer { lock.unlock() }
        guard !queue.isEmpty else {
            places += 1
            return
        }
        let next = queue.removeFirst()
        next.answer = .place
        next.bell.signal()
    }

    // MARK: Connections

    private func rest(_ connection: Int32) {
        lock.lock()
        let keep = !over
        if keep { rested.append((connection, DispatchTime.now())) }
        lock.unlock()
        if !keep { close(connection) }
    }

    /// The youngest that is still good, if there is one.
    private func wakeOne() throws -> Int32? {
        lock.lock()
        defer { lock.unlock() }
        if over { throw PoolError.closed }
        while let entry = rested.popLast() {
            let idle = (DispatchTime.now().uptimeNanoseconds - entry.at.uptimeNanoseconds) / 1_000_000
            if idle <= UInt64(idleLimit) && isQuiet(entry.connection) { return entry.connection }
            close(entry.connection)
        }
        return nil
    }

    /// Nothing there to read: neither a byte nor the end.
    private func isQuiet(_ connection: Int32) -> Bool {
        var byte: UInt8 = 0
        return recv(connection, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0
    }

    private func dial() throws -> Int32 {
        let connection = try check("socket", socket(address.family, SOCK_STREAM | SOCK_CLOEXEC, 0))
        do {
            let result = address.withSockaddr { connect(connection, $0, $1) }
            if result != 0 && errno == EINTR {
                try untilConnected(connection)
            } else {
                try check("connect", result)
            }
        } catch {
            close(connection)
            throw error
        }
        return connection
    }

    private func untilConnected(_ connection: Int32) throws {
        var wanted = pollfd(fd: connection, events: Int16(POLLOUT), revents: 0)
        while true {
            let ready = poll(&wanted, 1, -1)
            if ready > 0 { break }
            if ready < 0 && errno != EINTR { throw SocketError("poll", errno) }
        }
        var problem: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        try check("getsockopt", getsockopt(connection, SOL_SOCKET, SO_ERROR, &problem, &size))
        if problem != 0 { throw SocketError("connect", problem) }
    }
}
