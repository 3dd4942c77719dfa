import Course
import Sockets

final class ConnectionPool: ConnectionLender {
    private struct Resting {
        let fd: Int32
        let until: timespec
    }

    private let address: SocketAddress
    private let limit: Int
    private let idleLimit: Milliseconds
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let freed = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var resting: [Resting] = []
    private var lent = 0
    private var closed = false

    init(host: String, port: UInt16, limit: Int, idleLimit: Milliseconds) throws {
        address = try SocketAddress(host: host, port: port)
        self.limit = limit
        self.idleLimit = idleLimit
        pthread_mutex_init(mutex, nil)
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(freed, &attributes)
        pthread_condattr_destroy(&attributes)
    }

    deinit {
        for one in resting { close(one.fd) }
        pthread_cond_destroy(freed)
        pthread_mutex_destroy(mutex)
        freed.deallocate()
        mutex.deallocate()
    }

    func withConnection<Result>(timeout: Milliseconds, _ body: (Int32) throws -> Result) throws -> Result {
        let fd: Int32
        if let old = try enter(timeout) {
            fd = old
        } else {
            do { fd = try dial() } catch {
                leave(nil, alive: false)
                throw error
            }
        }
        var alive = false
        defer { leave(fd, alive: alive) }
        let result = try body(fd)
        alive = true
        return result
    }

    func closeAll() {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        closed = true
        while let one = resting.popLast() { close(one.fd) }
        pthread_cond_broadcast(freed)
    }

    /// Takes a place, and a connection if there is a good one.
    private func enter(_ timeout: Milliseconds) throws -> Int32? {
        var deadline = moment(in: timeout)
        var late = false
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        while true {
            if closed { throw PoolError.closed }
            if lent < limit { break }
            if late { throw PoolError.timedOut }
            late = pthread_cond_timedwait(freed, mutex, &deadline) == ETIMEDOUT
        }
        lent += 1
        let now = moment(in: 0)
        resting.removeAll {
            let good = isBefore(now, $0.until) && isQuiet($0.fd)
            if !good { close($0.fd) }
            return !good
        }
        return resting.popLast()?.fd
    }

    private func leave(_ fd: Int32?, alive: Bool) {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        if let fd {
            if alive && !closed {
                resting.append(Resting(fd: fd, until: moment(in: idleLimit)))
            } else {
                close(fd)
            }
        }
        lent -= 1
        pthread_cond_signal(freed)
    }

    private func isQuiet(_ fd: Int32) -> Bool {
        var byte: UInt8 = 0
        return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == -1 && errno == EAGAIN
    }

    private func dial() throws -> Int32 {
        let fd = try check("socket", socket(address.family, SOCK_STREAM | SOCK_CLOEXEC, 0))
        // On Linux a connect that a signal interrupted may be called again: it waits for the same handshake.
        while address.withSockaddr({ connect(fd, $0, $1) }) < 0 {
            let code = errno
            if code == EISCONN { break }
            if code != EINTR {
                close(fd)
                throw SocketError("connect", code)
            }
        }
        return fd
    }

    private func moment(in wait: Milliseconds) -> timespec {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        let nanoseconds = time.tv_nsec + wait % 1000 * 1_000_000
        time.tv_sec += wait / 1000 + nanoseconds / 1_000_000_000
        time.tv_nsec = nanoseconds % 1_000_000_000
        return time
    }

    private func isBefore(_ a: timespec, _ b: timespec) -> Bool { (a.tv_sec, a.tv_nsec) < (b.tv_sec, b.tv_nsec) }
}
