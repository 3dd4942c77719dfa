import Course
import Foundation
import Sockets

/// The queue is a pipe: descriptors are written into it as numbers, and the threads read them. Another pipe rings for the one
/// who accepts, so that it can wait for everything with one poll: the stop, a place that is free again, the next client.
func poolServer(host: String, port: UInt16, limits: PoolLimits, stop: Int32) throws {
    let listener = try makeListener(host: host, port: port)
    let pool: Pool
    do {
        makeNonBlocking(listener)
        pool = try Pool(limits)
    } catch {
        close(listener)
        throw error
    }
    pool.begin()
    var failure: SocketError?
    var isPausing = false
    accepting: while failure == nil {
        // Without a place the listener is not looked at: poll passes over negative numbers.
        let door = pool.hasRoom && !isPausing ? listener : -1
        var watched = [stop, pool.bell, door].map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        if poll(&watched, 3, isPausing ? 50 : -1) < 0 { continue }
        isPausing = false
        if watched[0].revents != 0 { break }
        if watched[1].revents != 0 { pool.hushBell() }
        if watched[2].revents == 0 { continue }
        let connection = accept(listener, nil, nil)
        if connection >= 0 {
            pool.queue(connection)
            continue
        }
        switch errno {
        case EAGAIN, EINTR, ECONNABORTED, EPROTO, ENETDOWN, ENETUNREACH, EHOSTUNREACH: break
        case EMFILE, ENFILE, ENOBUFS, ENOMEM: isPausing = true
        case let code: failure = SocketError("accept", code)
        }
    }
    close(listener)
    pool.end()
    if let failure { throw failure }
}

private func makeNonBlocking(_ descriptor: Int32) {
    _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK)
}

private final class Pool: @unchecked Sendable {
    /// Readable when something has changed.
    let bell: Int32
    private let rope: Int32
    private let jobsOut: Int32
    private let jobsIn: Int32
    private let limits: PoolLimits
    private let lock = NSLock()
    private var queued = 0
    private var open: Set<Int32> = []
    private var alive = 0

    init(_ limits: PoolLimits) throws {
        self.limits = limits
        var ends: [Int32] = [-1, -1]
        try check("pipe", pipe(&ends))
        (bell, rope) = (ends[0], ends[1])
        makeNonBlocking(bell)
        makeNonBlocking(rope)
        guard pipe(&ends) == 0 else {
            let error = SocketError("pipe", errno)
            close(bell)
            close(rope)
            throw error
        }
        (jobsOut, jobsIn) = (ends[0], ends[1])
    }

    func begin() {
        alive = limits.threads
        for _ in 0..<limits.threads { Thread.detachNewThread { self.work() } }
    }

    var hasRoom: Bool { lock.withLock { queued < limits.queue } }

    func queue(_ connection: Int32) {
        lock.withLock {
            queued += 1
            open.insert(connection)
        }
        // A few numbers always fit into a pipe, and so few bytes go in at once.
        var number = connection
        while write(jobsIn, &number, MemoryLayout<Int32>.size) < 0 && errno == EINTR {}
    }

    private func work() {
        while let connection = nextJob() {
            serve(connection)
            lock.withLock {
                open.remove(connection)
                close(connection)
            }
        }
        lock.withLock {
            alive -= 1
            ring()
        }
    }

    /// nil when the pipe is empty and will stay so.
    private func nextJob() -> Int32? {
        var number: Int32 = -1
        var count: Int
        repeat { count = read(jobsOut, &number, MemoryLayout<Int32>.size) } while count < 0 && errno == EINTR
        guard count == MemoryLayout<Int32>.size else { return nil }
        lock.withLock {
            queued -= 1
            ring()
        }
        return number
    }

    /// A full pipe rings already.
    private func ring() {
        var byte: UInt8 = 1
        while write(rope, &byte, 1) < 0 && errno == EINTR {}
    }

    func hushBell() {
        var waste = [UInt8](repeating: 0, count: 64)
        var count: Int
        repeat { count = read(bell, &waste, 64) } while count > 0 || count < 0 && errno == EINTR
    }

    /// Answers what has come, for as long as it may take; then breaks off. All threads have ended when it returns.
    func end() {
        close(jobsIn)
        hangUp(SHUT_RD)
        let deadline = milliseconds() + Int(limits.grace)
        while isWorking, milliseconds() < deadline { awaitBell(deadline - milliseconds()) }
        hangUp(SHUT_RDWR)
        while isWorking { awaitBell(-1) }
        close(jobsOut)
        close(bell)
        close(rope)
    }

    private var isWorking: Bool { lock.withLock { alive > 0 } }

    private func hangUp(_ how: Int32) {
        lock.withLock { for connection in open { shutdown(connection, how) } }
    }

    private func awaitBell(_ time: Int) {
        var one = pollfd(fd: bell, events: Int16(POLLIN), revents: 0)
        if poll(&one, 1, Int32(max(time, -1))) > 0 { hushBell() }
    }

    private func milliseconds() -> Int {
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        return Int(now.tv_sec) * 1000 + Int(now.tv_nsec) / 1_000_000
    }
}
