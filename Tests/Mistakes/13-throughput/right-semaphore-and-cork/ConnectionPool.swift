import Course
import Foundation
import Sockets

/// A semaphore counts the places; a lock guards the list. Those who wait are let through when the pool is closed.
final class ConnectionPool: ConnectionLender {
    private let address: SocketAddress
    private let idleLimit: Milliseconds
    private let places: DispatchSemaphore
    private let lock = NSLock()
    private var idle: [(descriptor: Int32, since: DispatchTime)] = []
    private var closed = false

    init(host: String, port: UInt16, limit: Int, idleLimit: Milliseconds) throws {
        address = try SocketAddress(host: host, port: port)
        places = DispatchSemaphore(value: limit)
        self.idleLimit = idleLimit
    }

    func withConnection<Result>(timeout: Milliseconds, _ body: (Int32) throws -> Result) throws -> Result {
        lock.lock()
        let wasClosed = closed
        lock.unlock()
        if wasClosed { throw PoolError.closed }
        if places.wait(timeout: .now() + .milliseconds(timeout)) == .timedOut { throw PoolError.timedOut }
        defer { places.signal() }
        let descriptor = try old() ?? new()
        var good = false
        defer { keep(descriptor, good) }
        let result = try body(descriptor)
        good = true
        return result
    }

    private func old() throws -> Int32? {
        lock.lock()
        defer { lock.unlock() }
        if closed { throw PoolError.closed }
        while !idle.isEmpty {
            let (descriptor, since) = idle.removeFirst()
            var interest = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            let age = (DispatchTime.now().uptimeNanoseconds - since.uptimeNanoseconds) / 1_000_000
            if age <= UInt64(idleLimit) && poll(&interest, 1, 0) == 0 { return descriptor }
            close(descriptor)
        }
        return nil
    }

    private func new() throws -> Int32 {
        let descriptor = socket(address.family, SOCK_STREAM, 0)
        guard descriptor >= 0 else { throw SocketError("socket", errno) }
        if address.withSockaddr({ connect(descriptor, $0, $1) }) < 0 {
            let code = errno
            close(descriptor)
            throw SocketError("connect", code)
        }
        return descriptor
    }

    private func keep(_ descriptor: Int32, _ good: Bool) {
        lock.lock()
        defer { lock.unlock() }
        if good && !closed { idle.append((descriptor, .now())) } else { close(descriptor) }
    }

    func closeAll() {
        lock.lock()
        closed = true
        for (descriptor, _) in idle { close(descriptor) }
        idle.removeAll()
        lock.unlock()
        // One lets the first of them through, who lets the next one through when it has seen that the pool is closed.
        places.signal()
    }
}
