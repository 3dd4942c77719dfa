import Course
import Foundation
import Sockets

/// One thread accepts and hears of the stop; the others serve.
func poolServer(host: String, port: UInt16, limits: PoolLimits, stop: Int32) throws {
    let listener = try makeListener(host: host, port: port)
    let pool = ServingPool(limits)
    var problem: (any Error)?
    while problem == nil {
        var entries = [stop, listener].map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        guard poll(&entries, 2, -1) > 0 else { continue }
        if entries[0].revents != 0 { break }
        // Full: give the threads a moment, and look again, for the stop as well.
        guard pool.hasRoom(within: 0.002) else { continue }
        do { pool.add(try acceptClient(listener)) } catch { problem = error }
    }
    close(listener)
    pool.stop()
    if let problem { throw problem }
}

private final class ServingPool: @unchecked Sendable {
    private let limits: PoolLimits
    private let lock = NSCondition()
    private var line: [Int32] = []
    private var everybody: [Int32] = []
    private var closed = false
    private var alive = 0

    init(_ limits: PoolLimits) {
        self.limits = limits
        alive = limits.threads
        for _ in 1...limits.threads { Thread.detachNewThread(thread) }
    }

    func hasRoom(within time: TimeInterval) -> Bool {
        let end = Date(timeIntervalSinceNow: time)
        return lock.withLock {
            while line.count >= limits.queue { if !lock.wait(until: end) { break } }
            return line.count < limits.queue
        }
    }

    func add(_ connection: Int32) {
        lock.withLock {
            line.append(connection)
            everybody.append(connection)
            lock.broadcast()
        }
    }

    func stop() {
        let end = Date(timeIntervalSinceNow: Double(limits.grace) * 0.001)
        lock.withLock {
            closed = true
            everybody.forEach { shutdown($0, SHUT_RD) }
            lock.broadcast()
            while alive > 0 && lock.wait(until: end) {}
            everybody.forEach { shutdown($0, SHUT_RDWR) }
            while alive > 0 { lock.wait() }
        }
    }

    @Sendable private func thread() {
        while true {
            lock.lock()
            while line.isEmpty && !closed { lock.wait() }
            if line.isEmpty {
                alive -= 1
                lock.broadcast()
                lock.unlock()
                return
            }
            let connection = line.removeFirst()
            lock.broadcast()
            lock.unlock()

            serve(connection)

            lock.lock()
            everybody.removeAll { $0 == connection }
            close(connection)
            lock.unlock()
        }
    }
}
