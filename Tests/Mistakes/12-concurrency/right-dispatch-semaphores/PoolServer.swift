import Course
import Dispatch
import Foundation
import Sockets

/// Two semaphores count: places in the queue, and connections in it. The lock is only for the lists.
func poolServer(host: String, port: UInt16, limits: PoolLimits, stop: Int32) throws {
    var listener: Listener? = try Listener(host, port, waits: false)
    let house = House()
    for _ in 0..<limits.queue { house.places.signal() }
    for _ in 0..<limits.threads {
        house.staff.enter()
        Thread.detachNewThread {
            house.work()
            house.staff.leave()
        }
    }
    Thread.detachNewThread {
        _ = readable([stop], -1)
        house.close()
    }
    let failure: (any Error)?
    do {
        // A place first, and only then a guest for it.
        while house.takePlace(), let guest = try next(listener!, stop) { house.seat(guest) }
        failure = nil
    } catch { failure = error }

    listener = nil
    house.close()
    house.endAll(SHUT_RD)
    // One for each thread: who then finds the queue empty goes home.
    for _ in 0..<limits.threads { house.seated.signal() }
    if house.staff.wait(timeout: .now() + .milliseconds(limits.grace)) == .timedOut {
        house.endAll(SHUT_RDWR)
        house.staff.wait()
    }
    if let failure { throw failure }
}

/// Nil when the stop has come.
private func next(_ listener: Listener, _ stop: Int32) throws -> Guest? {
    while true {
        let ready = readable([stop, listener.number], -1)
        if ready[0] { return nil }
        guard ready[1] else { continue }
        switch try listener.ask() {
        case .guest(let guest): return guest
        case .nobodyThere, .askAgain: break
        case .full: if readable([stop], 50)[0] { return nil }
        }
    }
}

private func readable(_ numbers: [Int32], _ patience: Int32) -> [Bool] {
    var waiting = numbers.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
    while poll(&waiting, nfds_t(waiting.count), patience) < 0 && errno == EINTR {}
    return waiting.map { $0.revents != 0 }
}

private final class House: @unchecked Sendable {
    // Both begin at 0: a semaphore must not end below its beginning.
    let places = DispatchSemaphore(value: 0)
    let seated = DispatchSemaphore(value: 0)
    let staff = DispatchGroup()
    private let lock = NSLock()
    private var queue: [Guest] = []
    private var present: [ObjectIdentifier: Guest] = [:]
    private var isClosing = false

    /// Waits for a place. False after the stop.
    func takePlace() -> Bool {
        places.wait()
        return lock.withLock { !isClosing }
    }

    func seat(_ guest: Guest) {
        lock.withLock {
            queue.append(guest)
            present[ObjectIdentifier(guest)] = guest
        }
        seated.signal()
    }

    func work() {
        while true {
            seated.wait()
            let first = lock.withLock { queue.isEmpty ? nil : queue.removeFirst() }
            guard let guest = first else { return }
            places.signal()
            guest.serve()
            lock.withLock { present[ObjectIdentifier(guest)] = nil }
        }
    }

    func close() {
        lock.withLock { isClosing = true }
        places.signal()
    }

    func endAll(_ how: Int32) {
        for guest in lock.withLock({ Array(present.values) }) { guest.end(how) }
    }
}
