import Course
import Foundation
import Sockets

/// `limits.threads` threads serve, `limits.queue` connections wait for them. All others stay in the kernel's queue: that the
/// pool has no room is felt by those who come (back-pressure), and not by the server's memory.
func poolServer(host: String, port: UInt16, limits: PoolLimits, stop: Int32) throws {
    let listener = try makeListener(host: host, port: port)
    let pool = Pool(limits)
    // A thread that waits for room cannot wait for a descriptor as well: one waits for the stop, and tells the pool.
    Thread.detachNewThread {
        _ = waitUntilReadable([stop])
        pool.stop()
    }
    while pool.waitForRoom() {
        // No accept without a place for the connection.
        guard waitUntilReadable([listener, stop]) == listener else { break }
        do { pool.take(try acceptClient(listener)) } catch {
            close(listener)
            pool.stop()
            pool.finish()
            throw error
        }
    }
    // First of all nobody joins any more, and then those who are there are served to their end.
    close(listener)
    pool.stop()
    pool.finish()
}

/// The last of these descriptors that is readable; waits as long as it takes.
private func waitUntilReadable(_ descriptors: [Int32]) -> Int32 {
    var waited = descriptors.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
    while true {
        if poll(&waited, nfds_t(waited.count), -1) < 0 && errno == EINTR { continue }
        if let ready = waited.last(where: { $0.revents != 0 }) { return ready.fd }
    }
}

/// Threads and what they share. Everything that can change is changed under the lock.
private final class Pool: @unchecked Sendable {
    private let limits: PoolLimits
    private let condition = NSCondition()
    private var queue: [Int32] = []
    /// Accepted and not yet closed, those in the queue among them.
    private var open: Set<Int32> = []
    private var threads: Int
    private var isStopping = false

    init(_ limits: PoolLimits) {
        self.limits = limits
        threads = limits.threads
        for _ in 0..<limits.threads { Thread.detachNewThread { self.work() } }
    }

    /// - Returns: false once the server is to stop.
    func waitForRoom() -> Bool {
        condition.withLock {
            // A while, not an if: whoever woke us, the room may be gone again.
            while queue.count >= limits.queue && !isStopping { condition.wait() }
            return !isStopping
        }
    }

    func take(_ connection: Int32) {
        condition.withLock {
            queue.append(connection)
            open.insert(connection)
            if isStopping { shutdown(connection, SHUT_RD) }
            // All wait on one condition, for different things: each looks whether it is meant.
            condition.broadcast()
        }
    }

    private func work() {
        while let connection = next() {
            serve(connection)
            // Under the lock: `stop` must not shut down a descriptor that is a stranger's by then.
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

    /// The next connection from the queue; nil once there are none and none will come.
    private func next() -> Int32? {
        condition.withLock {
            while queue.isEmpty && !isStopping { condition.wait() }
            guard !queue.isEmpty else { return nil }
            defer { condition.broadcast() }
            return queue.removeFirst()
        }
    }

    /// Nothing more comes from any client: recv gives what has arrived, and then 0. So a thread that waits in recv wakes up,
    /// and one that is in the middle of an answer ends it first.
    func stop() {
        condition.withLock {
            guard !isStopping else { return }
            isStopping = true
            for connection in open { shutdown(connection, SHUT_RD) }
            condition.broadcast()
        }
    }

    /// Waits for the threads, and breaks off what is not done in time: a send to a client that does not read.
    func finish() {
        let deadline = Date(timeIntervalSinceNow: Double(limits.grace) / 1000)
        condition.withLock {
            while threads > 0 && condition.wait(until: deadline) {}
            for connection in open { shutdown(connection, SHUT_RDWR) }
            while threads > 0 { condition.wait() }
        }
    }
}
