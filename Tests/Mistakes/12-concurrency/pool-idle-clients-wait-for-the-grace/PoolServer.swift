import Course
import Foundation
import Sockets

func poolServer(host: String, port: UInt16, limits: PoolLimits, stop: Int32) throws {
    let listener = try makeListener(host: host, port: port)
    let pool = Pool(limits)
    Thread.detachNewThread {
        _ = waitUntilReadable([stop])
        pool.stop()
    }
    while pool.waitForRoom() {
        guard waitUntilReadable([listener, stop]) == listener else { break }
        do { pool.take(try acceptClient(listener)) } catch {
            close(listener)
            pool.stop()
            pool.finish()
            throw error
        }
    }
    close(listener)
    pool.stop()
    pool.finish()
}

private func waitUntilReadable(_ descriptors: [Int32]) -> Int32 {
    var waited = descriptors.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
    while true {
        if poll(&waited, nfds_t(waited.count), -1) < 0 && errno == EINTR { continue }
        if let ready = waited.last(where: { $0.revents != 0 }) { return ready.fd }
    }
}

private final class Pool: @unchecked Sendable {
    private let limits: PoolLimits
    private let condition = NSCondition()
    private var queue: [Int32] = []
    private var open: Set<Int32> = []
    private var threads: Int
    private var isStopping = false

    init(_ limits: PoolLimits) {
        self.limits = limits
        threads = limits.threads
        for _ in 0..<limits.threads { Thread.detachNewThread { self.work() } }
    }

    func waitForRoom() -> Bool {
        condition.withLock {
            while queue.count >= limits.queue && !isStopping { condition.wait() }
            return !isStopping
        }
    }

    func take(_ connection: Int32) {
        condition.withLock {
            queue.append(connection)
            open.insert(connection)
            if isStopping { shutdown(connection, SHUT_RD) }
            condition.broadcast()
        }
    }

    private func work() {
        while let connection = next() {
            serve(connection)
            condition.withLock {
                open.remove(connection)
                close(connection)
            }
        }
        condition.withLock {
            threads -= 1
            condition.broadcast()
        }
    }

    private func next() -> Int32? {
        condition.withLock {
            while queue.isEmpty && !isStopping { condition.wait() }
            guard !queue.isEmpty else { return nil }
            defer { condition.broadcast() }
            return queue.removeFirst()
        }
    }

    func stop() {
        condition.withLock {
            guard !isStopping else { return }
            isStopping = true
            condition.broadcast()
        }
    }

    func finish() {
        let deadline = Date(timeIntervalSinceNow: Double(limits.grace) / 1000)
        condition.withLock {
            while threads > 0 && condition.wait(until: deadline) {}
            for connection in open { shutdown(connection, SHUT_RDWR) }
            while threads > 0 { condition.wait() }
        }
    }
}
