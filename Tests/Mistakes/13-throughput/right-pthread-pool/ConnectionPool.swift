import Course
import Foundation
import Sockets

/// The pool with a pthread mutex and a condition on the monotonic clock; the oldest idle connection is lent first.
final class ConnectionPool: ConnectionLender {
    private let address: SocketAddress
    private let limit: Int
    private let idleLimit: Milliseconds
    private let monitor = Monitor()

    // Under the monitor:
    private var idle: [(connection: Int32, since: timespec)] = []
    private var places: Int
    private var isClosed = false

    init(host: String, port: UInt16, limit: Int, idleLimit: Milliseconds) throws {
        address = try SocketAddress(host: host, port: port)
        self.limit = limit
        self.idleLimit = idleLimit
        places = limit
    }

    func withConnection<Result>(timeout: Milliseconds, _ body: (Int32) throws -> Result) throws -> Result {
        try takePlace(until: Monitor.now().adding(timeout))
        var connection: Int32 = -1
        var keep = false
        defer { leavePlace(connection, keep: keep) }

        connection = monitor.locked { oldConnection() } ?? -1
        if connection < 0 { connection = try newConnection() }
        let result = try body(connection)
        keep = true
        return result
    }

    func closeAll() {
        let unused = monitor.locked { () -> [(connection: Int32, since: timespec)] in
            isClosed = true
            monitor.wakeAll()
            defer { idle = [] }
            return idle
        }
        for (connection, _) in unused { close(connection) }
    }

    private func takePlace(until deadline: timespec) throws {
        try monitor.locked {
            var timeIsOver = false
            while true {
                if isClosed { throw PoolError.closed }
                if places > 0 { break }
                if timeIsOver { throw PoolError.timedOut }
                timeIsOver = !monitor.wait(until: deadline)
            }
            places -= 1
        }
    }

    private func leavePlace(_ connection: Int32, keep: Bool) {
        monitor.locked {
            if keep && !isClosed {
                idle.append((connection, Monitor.now()))
            } else if connection >= 0 {
                close(connection)
            }
            places += 1
            monitor.wakeOne()
        }
    }

    /// The first of the idle ones that is neither dead nor too old; those before it are closed.
    private func oldConnection() -> Int32? {
        let now = Monitor.now()
        while !idle.isEmpty {
            let (connection, since) = idle.removeFirst()
            if !since.adding(idleLimit).isBefore(now), isSilent(connection) { return connection }
            close(connection)
        }
        return nil
    }

    private func isSilent(_ connection: Int32) -> Bool {
        var byte: UInt8 = 0
        var count: Int
        repeat { count = recv(connection, &byte, 1, MSG_PEEK | MSG_DONTWAIT) } while count < 0 && errno == EINTR
        return count < 0 && errno == EAGAIN
    }

    private func newConnection() throws -> Int32 {
        let connection = socket(address.family, SOCK_STREAM, 0)
        guard connection >= 0 else { throw SocketError("socket", errno) }
        var code = address.withSockaddr { connect(connection, $0, $1) == 0 ? 0 : errno }
        if code == EINTR { code = decision(connection) }
        guard code == 0 else {
            close(connection)
            throw SocketError("connect", code)
        }
        return connection
    }

    /// An interrupted connect goes on: how did it end? 0 for connected, else an errno.
    private func decision(_ connection: Int32) -> Int32 {
        var interest = pollfd(fd: connection, events: Int16(POLLOUT), revents: 0)
        while poll(&interest, 1, -1) < 0 {
            if errno != EINTR { return errno }
        }
        var code: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        return getsockopt(connection, SOL_SOCKET, SO_ERROR, &code, &size) == 0 ? code : errno
    }
}

private final class Monitor {
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

    init() {
        pthread_mutex_init(mutex, nil)
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(condition, &attributes)
        pthread_condattr_destroy(&attributes)
    }

    deinit {
        pthread_cond_destroy(condition)
        pthread_mutex_destroy(mutex)
        condition.deallocate()
        mutex.deallocate()
    }

    func locked<Value>(_ work: () throws -> Value) rethrows -> Value {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return try work()
    }

    /// - Returns: false when the time has come.
    func wait(until deadline: timespec) -> Bool {
        var deadline = deadline
        return pthread_cond_timedwait(condition, mutex, &deadline) != ETIMEDOUT
    }

    func wakeOne() { pthread_cond_signal(condition) }
    func wakeAll() { pthread_cond_broadcast(condition) }

    static func now() -> timespec {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return time
    }
}

extension timespec {
    fileprivate func adding(_ milliseconds: Milliseconds) -> timespec {
        let nanoseconds = tv_nsec + milliseconds % 1000 * 1_000_000
        return timespec(
            tv_sec: tv_sec + milliseconds / 1000 + nanoseconds / 1_000_000_000, tv_nsec: nanoseconds % 1_000_000_000)
    }

    fileprivate func isBefore(_ other: timespec) -> Bool { (tv_sec, tv_nsec) < (other.tv_sec, other.tv_nsec) }
}
