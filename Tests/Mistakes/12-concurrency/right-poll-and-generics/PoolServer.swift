import Course
import Foundation
import Sockets

func poolServer(host: String, port: UInt16, limits: PoolLimits, stop: Int32) throws {
    let door = try open(host, port)
    let queue = BoundedQueue<Int32>(limit: limits.queue)
    let tables = Tables(threads: limits.threads)
    for _ in 0..<limits.threads {
        Thread.detachNewThread {
            while let guest = queue.take() {
                talk(guest)
                tables.leave(guest)
            }
            tables.threadEnds()
        }
    }
    // Reaches us where we wait for room, too.
    Thread.detachNewThread {
        while !look(stop, POLLIN) {}
        queue.end()
    }
    var failure: (any Error)?
    serving: while queue.reserve() {
        while true {
            var both = [stop, door].map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
            let count = poll(&both, 2, -1)
            if count > 0 && both[0].revents != 0 { break serving }
            guard count > 0 else { continue }
            do {
                guard let guest = try admit(door, 0) else { continue }
                tables.sit(guest)
                queue.put(guest)
                continue serving
            } catch {
                failure = error
                break serving
            }
        }
    }
    close(door)
    queue.end()
    tables.hush()
    tables.wait(limits.grace)
    if let failure { throw failure }
}

/// First in, first out. A place is reserved before there is an element for it.
final class BoundedQueue<Element>: @unchecked Sendable {
    private let condition = NSCondition()
    private let limit: Int
    private var elements: [Element] = []
    private var reserved = 0
    private var hasEnded = false

    init(limit: Int) { self.limit = limit }

    /// Waits for a place; false once the queue has ended.
    func reserve() -> Bool {
        condition.withLock {
            while elements.count + reserved >= limit && !hasEnded { condition.wait() }
            if hasEnded { return false }
            reserved += 1
            return true
        }
    }

    func put(_ element: Element) {
        condition.withLock {
            reserved -= 1
            elements.append(element)
            condition.broadcast()
        }
    }

    /// Waits for an element; nil once the queue has ended and is empty.
    func take() -> Element? {
        condition.withLock {
            while elements.isEmpty && !hasEnded { condition.wait() }
            if elements.isEmpty { return nil }
            condition.broadcast()
            return elements.removeFirst()
        }
    }

    func end() {
        condition.withLock {
            hasEnded = true
            condition.broadcast()
        }
    }
}

/// Who is here, waiting or served, and how many threads. A number is only closed, and only shut down, under the lock.
private final class Tables: @unchecked Sendable {
    private let condition = NSCondition()
    private var guests: Set<Int32> = []
    private var threads: Int

    init(threads: Int) { self.threads = threads }

    func sit(_ guest: Int32) { condition.withLock { _ = guests.insert(guest) } }

    func leave(_ guest: Int32) {
        condition.withLock {
            guests.remove(guest)
            _ = close(guest)
        }
    }

    func threadEnds() {
        condition.withLock {
            threads -= 1
            condition.broadcast()
        }
    }

    /// No more questions.
    func hush() { condition.withLock { guests.forEach { shutdown($0, SHUT_RD) } } }

    func wait(_ grace: Milliseconds) {
        let end = Date() + Double(grace) / 1000
        condition.withLock {
            while threads > 0 && Date() < end { _ = condition.wait(until: end) }
            guests.forEach { shutdown($0, SHUT_RDWR) }
            while threads > 0 { condition.wait() }
        }
    }
}
