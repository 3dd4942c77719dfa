import Course
import Foundation
import Sockets

/// First come, first served: everybody draws a ticket, and the numbers are called one after another.
final class ConnectionPool: ConnectionLender {
    private struct Parked {
        let descriptor: Int32
        let at: ContinuousClock.Instant
    }

    private let address: SocketAddress
    private let limit: Int
    private let idleLimit: Duration
    private let bell = NSCondition()

    // All under `bell`.
    private var nextTicket = 0
    private var called = 0
    private var tornUp: Set<Int> = []
    private var places = 0
    private var parked: [Parked] = []
    private var closed = false

    init(host: String, port: UInt16, limit: Int, idleLimit: Milliseconds) throws {
        address = try SocketAddress(host: host, port: port)
        self.limit = limit
        self.idleLimit = .milliseconds(idleLimit)
    }

    func withConnection<Result>(timeout: Milliseconds, _ body: (Int32) throws -> Result) throws -> Result {
        let connection = try lend(timeout)
        var keep = false
        defer { takeBack(connection, keep: keep) }
        let result = try body(connection)
        keep = true
        return result
    }

    func closeAll() {
        bell.lock()
        defer { bell.unlock() }
        closed = true
        parked.forEach { close($0.descriptor) }
        parked.removeAll()
        bell.broadcast()
    }

    private func lend(_ timeout: Milliseconds) throws -> Int32 {
        try waitForMyTurn(timeout)
        defer { bell.withLock { callNext() } }
        if let old = bell.withLock({ firstThatLives() }) { return old }
        do {
            return try dial()
        } catch {
            bell.withLock { freeOne() }
            throw error
        }
    }

    private func waitForMyTurn(_ timeout: Milliseconds) throws {
        let deadline = ContinuousClock.now + .milliseconds(timeout)
        bell.lock()
        defer { bell.unlock() }
        if closed { throw PoolError.closed }
        let mine = nextTicket
        nextTicket += 1
        while !closed && (called != mine || places == limit) {
            let left = ContinuousClock.now.duration(to: deadline)
            guard left > .zero else {
                if called == mine { callNext() } else { tornUp.insert(mine) }
                throw PoolError.timedOut
            }
            let seconds = Double(left.components.seconds) + Double(left.components.attoseconds) / 1e18
            _ = bell.wait(until: Date(timeIntervalSinceNow: seconds))
        }
        if closed { throw PoolError.closed }
        places += 1
    }

    private func callNext() {
        called += 1
        while tornUp.remove(called) != nil { called += 1 }
        bell.broadcast()
    }

    private func freeOne() {
        places -= 1
        bell.broadcast()
    }

    private func firstThatLives() -> Int32? {
        while let candidate = parked.popLast() {
            var byte: UInt8 = 0
            if candidate.at.duration(to: .now) <= idleLimit,
                recv(candidate.descriptor, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == -1, errno == EAGAIN
            {
                return candidate.descriptor
            }
            close(candidate.descriptor)
        }
        return nil
    }

    private func takeBack(_ connection: Int32, keep: Bool) {
        bell.lock()
        defer { bell.unlock() }
        if keep && !closed {
            parked.append(Parked(descriptor: connection, at: .now))
        } else {
            close(connection)
        }
        freeOne()
    }

    private func dial() throws -> Int32 {
        let fd = try check("socket", socket(address.family, SOCK_STREAM, 0))
        if address.withSockaddr({ connect(fd, $0, $1) }) == 0 { return fd }
        var reason = errno
        if reason == EINTR {
            var interest = pollfd(fd: fd, events: Int16(POLLOUT), revents: 0)
            while poll(&interest, 1, -1) == -1 && errno == EINTR {}
            var size = socklen_t(MemoryLayout.size(ofValue: reason))
            if getsockopt(fd, SOL_SOCKET, SO_ERROR, &reason, &size) == -1 { reason = errno }
            if reason == 0 { return fd }
        }
        close(fd)
        throw SocketError("connect", reason)
    }
}
