import Course
import Dispatch
import Foundation
import Sockets

func poolServer(host: String, port: UInt16, limits: PoolLimits, stop: Int32) throws {
    let listener = try makeListener(host: host, port: port)
    let crew = Crew(limits)
    Thread.detachNewThread {
        var wanted = pollfd(fd: stop, events: Int16(POLLIN), revents: 0)
        while poll(&wanted, 1, -1) < 0 && errno == EINTR {}
        crew.stop()
    }
    while crew.hasRoom() {
        var both = [listener, stop].map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        if poll(&both, 2, -1) < 0 { continue }
        if both[1].revents != 0 { break }
        crew.add(try acceptClient(listener))
    }
    close(listener)
    crew.stop()
    crew.end()
}

private final class Crew: @unchecked Sendable {
    private let limits: PoolLimits
    private let condition = NSCondition()
    private let running = DispatchGroup()
    private var waiting: [Int32] = []
    private var open: Set<Int32> = []
    private var isOver = false

    init(_ limits: PoolLimits) {
        self.limits = limits
        for _ in 0..<limits.threads {
            running.enter()
            Thread.detachNewThread { self.work() }
        }
    }

    func hasRoom() -> Bool {
        condition.withLock {
            while waiting.count >= limits.queue && !isOver { condition.wait() }
            return !isOver
        }
    }

    func add(_ connection: Int32) {
        condition.withLock {
            waiting.append(connection)
            open.insert(connection)
            if isOver { shutdown(connection, SHUT_RD) }
            condition.signal()
        }
    }

    private func work() {
        while let connection = take() {
            serve(connection)
            condition.withLock {
                open.remove(connection)
                close(connection)
            }
        }
        running.leave()
    }

    private func take() -> Int32? {
        condition.withLock {
            while waiting.isEmpty && !isOver { condition.wait() }
            if waiting.isEmpty { return nil }
            condition.signal()  // there is room again
            return waiting.removeFirst()
        }
    }

    func stop() {
        condition.withLock {
            if isOver { return }
            isOver = true
            for connection in open { shutdown(connection, SHUT_RD) }
            condition.signal()
        }
    }

    func end() {
        if running.wait(timeout: .now() + .milliseconds(limits.grace)) == .success { return }
        condition.withLock {
            for connection in open { shutdown(connection, SHUT_RDWR) }
        }
        running.wait()
    }
}
