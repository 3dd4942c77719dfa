import Course
import Foundation
import Sockets

/// A mutex and a condition of pthread; each connection is counted from before it is made until after it is closed.
final class ConnectionPool: ConnectionLender {
    private let address: SocketAddress
    private let limit: Int
    private let idleLimit: Milliseconds
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let changed = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var idle: [Int32: timespec] = [:]
    private var total = 0
    private var open = true

    init(host: String, port: UInt16, limit: Int, idleLimit: Milliseconds) throws {
        address = try SocketAddress(host: host, port: port)
        self.limit = limit
        self.idleLimit = idleLimit
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(changed, nil)
    }

    deinit {
        pthread_cond_destroy(changed)
        pthread_mutex_destroy(mutex)
        changed.deallocate()
        mutex.deallocate()
    }

    private func locked<Result>(_ body: () throws -> Result) rethrows -> Result {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return try body()
    }

    private static func time(_ clock: clockid_t) -> timespec {
        var time = timespec()
        clock_gettime(clock, &time)
        return time
    }

    private func drop(_ descriptor: Int32) {
        close(descriptor)
        total -= 1
        pthread_cond_broadcast(changed)
    }

    /// An idle connection, or nil: make one, it is counted already.
    private func take(_ timeout: Milliseconds) throws -> Int32? {
        var end = ConnectionPool.time(CLOCK_REALTIME)
        end.tv_nsec += timeout % 1000 * 1_000_000
        end.tv_sec += timeout / 1000 + end.tv_nsec / 1_000_000_000
        end.tv_nsec %= 1_000_000_000
        return try locked {
            while true {
                if !open { throw PoolError.closed }
                for (descriptor, since) in idle {
                    idle[descriptor] = nil
                    let now = ConnectionPool.time(CLOCK_MONOTONIC)
                    let age = (now.tv_sec - since.tv_sec) * 1000 + (now.tv_nsec - since.tv_nsec) / 1_000_000
                    var byte: UInt8 = 0
                    let peeked = recv(descriptor, &byte, 1, MSG_PEEK | MSG_DONTWAIT)
                    if peeked < 0 && errno == EAGAIN && age < idleLimit { return descriptor }
                    drop(descriptor)
                }
                if total < limit {
                    total += 1
                    return nil
                }
                if pthread_cond_timedwait(changed, mutex, &end) == ETIMEDOUT, idle.isEmpty, total == limit, open {
                    throw PoolError.timedOut
                }
            }
        }
    }

    private func make() throws -> Int32 {
        let descriptor = socket(address.family, SOCK_STREAM, 0)
        if descriptor >= 0, address.withSockaddr({ connect(descriptor, $0, $1) }) == 0 { return descriptor }
        let error = SocketError(descriptor < 0 ? "socket" : "connect", errno)
        locked {
            if descriptor >= 0 { return drop(descriptor) }
            total -= 1
            pthread_cond_signal(changed)
        }
        throw error
    }

    func withConnection<Result>(timeout: Milliseconds, _ body: (Int32) throws -> Result) throws -> Result {
        let descriptor = try take(timeout) ?? make()
        let outcome = Swift.Result { try body(descriptor) }
        locked {
            guard case .success = outcome, open else { return drop(descriptor) }
            idle[descriptor] = ConnectionPool.time(CLOCK_MONOTONIC)
            pthread_cond_signal(changed)
        }
        return try outcome.get()
    }

    func closeAll() {
        locked {
            open = false
            for descriptor in idle.keys { drop(descriptor) }
            idle = [:]
            pthread_cond_broadcast(changed)
        }
    }
}
