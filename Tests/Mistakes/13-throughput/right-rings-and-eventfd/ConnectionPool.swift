import Course
import Foundation
import Sockets

/// The places are an eventfd that counts like a semaphore: a read takes one, a write gives one back, and poll waits for it.
final class ConnectionPool: ConnectionLender {
    private let address: SocketAddress
    private let limit: Int
    private let idleLimit: Milliseconds

    private let lock = NSLock()
    // Under `lock`:
    private var counter: Int32 = -1
    private var idle: [Int32: Instant] = [:]
    private var order: [Int32] = []
    private var isClosed = false

    init(host: String, port: UInt16, limit: Int, idleLimit: Milliseconds) throws {
        address = try SocketAddress(host: host, port: port)
        self.limit = limit
        self.idleLimit = idleLimit
    }

    deinit {
        order.forEach { close($0) }
        if counter >= 0 { close(counter) }
    }

    func withConnection<Result>(timeout: Milliseconds, _ body: (Int32) throws -> Result) throws -> Result {
        let places = try openCounter()
        try take(places, until: Instant.now + timeout)
        defer { give(places, 1) }
        guard let connection = try oldOne() ?? newOne() else { throw PoolError.closed }
        var isWhole = false
        defer { keep(connection, isWhole) }
        let result = try body(connection)
        isWhole = true
        return result
    }

    func closeAll() {
        lock.lock()
        isClosed = true
        let unused = order
        order = []
        idle = [:]
        let places = counter
        lock.unlock()
        for connection in unused { close(connection) }
        // More than enough for everybody who waits: each of them takes one, and finds the pool closed.
        if places >= 0 { give(places, 1 << 32) }
    }

    // MARK: Places

    /// Made when it is needed for the first time.
    private func openCounter() throws -> Int32 {
        lock.lock()
        defer { lock.unlock() }
        if isClosed { throw PoolError.closed }
        if counter == -1 {
            // CLOEXEC, NONBLOCK, SEMAPHORE
            counter = try check("eventfd", eventfd(UInt32(limit), Int32(0o2000000 | 0o4000 | 1)))
        }
        return counter
    }

    private func take(_ places: Int32, until deadline: Instant) throws {
        while true {
            var one: UInt64 = 0
            let count = read(places, &one, 8)
            let code = errno
            if count == 8 {
                guard lock.withLock({ isClosed }) else { return }
                give(places, 1)
                throw PoolError.closed
            }
            if code == EINTR { continue }
            if code != EAGAIN { throw SocketError("read", code) }
            let left = deadline.millisecondsFromNow
            if left <= 0 { throw PoolError.timedOut }
            var entry = pollfd(fd: places, events: Int16(POLLIN), revents: 0)
            if poll(&entry, 1, Int32(min(left, 1_000_000))) < 0 {
                let code = errno
                if code != EINTR { throw SocketError("poll", code) }
            }
        }
    }

    private func give(_ places: Int32, _ number: UInt64) {
        var number = number
        while Glibc.write(places, &number, 8) < 0 && errno == EINTR {}
    }

    // MARK: Connections

    private func keep(_ connection: Int32, _ isWhole: Bool) {
        lock.lock()
        let stays = isWhole && !isClosed
        if stays {
            idle[connection] = Instant.now
            order.append(connection)
        }
        lock.unlock()
        if !stays { close(connection) }
    }

    private func oldOne() -> Int32? {
        lock.lock()
        defer { lock.unlock() }
        while let connection = order.popLast() {
            let since = idle.removeValue(forKey: connection)!
            if (since + idleLimit).millisecondsFromNow >= 0 && hasNothingToSay(connection) { return connection }
            close(connection)
        }
        return nil
    }

    /// No byte, no end, no error.
    private func hasNothingToSay(_ connection: Int32) -> Bool {
        var entry = pollfd(fd: connection, events: Int16(POLLIN | POLLPRI | 0x2000), revents: 0)  // 0x2000: POLLRDHUP
        while true {
            let count = poll(&entry, 1, 0)
            if count < 0 && errno == EINTR { continue }
            return count == 0
        }
    }

    private func newOne() throws -> Int32? {
        // Non-blocking only while it connects.
        let connection = try check("socket", socket(address.family, SOCK_STREAM | 0o4000 | 0o2000000, 0))
        do {
            var code = address.withSockaddr { connect(connection, $0, $1) == 0 ? 0 : errno }
            if code == EINPROGRESS || code == EINTR {
                var entry = pollfd(fd: connection, events: Int16(POLLOUT), revents: 0)
                while poll(&entry, 1, -1) < 0 {
                    let code = errno
                    if code != EINTR { throw SocketError("poll", code) }
                }
                var size = socklen_t(MemoryLayout<Int32>.size)
                try check("getsockopt", getsockopt(connection, SOL_SOCKET, SO_ERROR, &code, &size))
            }
            if code != 0 { throw SocketError("connect", code) }
            let flags = try check("fcntl", fcntl(connection, F_GETFL))
            try check("fcntl", fcntl(connection, F_SETFL, flags & ~O_NONBLOCK))
            return connection
        } catch {
            close(connection)
            throw error
        }
    }
}

private struct Instant {
    private var nanoseconds: Int64

    static var now: Instant {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Instant(nanoseconds: Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec))
    }

    static func + (instant: Instant, more: Milliseconds) -> Instant {
        Instant(nanoseconds: instant.nanoseconds + Int64(more) * 1_000_000)
    }

    /// Rounded away from now, so that nobody wakes too early; negative when it is over.
    var millisecondsFromNow: Int64 {
        let left = nanoseconds - Instant.now.nanoseconds
        return left > 0 ? (left + 999_999) / 1_000_000 : left == 0 ? 0 : min(-1, left / 1_000_000)
    }
}
