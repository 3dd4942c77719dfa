import Course
import Foundation
import Sockets

// Two semaphores count: free places, and connections that wait. The stop goes through the same queue: one "nobody" for each
// thread.
func poolServer(host: String, port: UInt16, limits: PoolLimits, stop: Int32) throws {
    let listener = try makeListener(host: host, port: port)
    let shared = Shared(places: limits.queue)
    let threads = DispatchGroup()
    for _ in 0..<limits.threads {
        threads.enter()
        Thread.detachNewThread {
            while let connection = shared.take() {
                shared.begin(connection)
                serve(connection)
                shared.end(connection)
            }
            threads.leave()
        }
    }
    accepting: while true {
        // Half a second at a time, to look for the stop as well.
        while shared.places.wait(timeout: .now() + 0.5) == .timedOut {
            if isReadable(stop, within: 0) { break accepting }
        }
        var waited = [
            pollfd(fd: listener, events: Int16(POLLIN), revents: 0),
            pollfd(fd: stop, events: Int16(POLLIN), revents: 0),
        ]
        while poll(&waited, 2, -1) < 0 && errno == EINTR {}
        if waited[1].revents != 0 { break }
        shared.put(try acceptClient(listener))
    }
    close(listener)
    shared.stop(threads: limits.threads)
    if threads.wait(timeout: .now() + .milliseconds(limits.grace)) == .timedOut {
        shared.breakOff()
        threads.wait()
    }
}

private func isReadable(_ descriptor: Int32, within time: Int32) -> Bool {
    var waited = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    return poll(&waited, 1, time) > 0
}

private final class Shared: @unchecked Sendable {
    let places: DispatchSemaphore
    private let waiting = DispatchSemaphore(value: 0)
    private let lock = NSLock()
    private var queue: [Int32?] = []
    private var serving: Set<Int32> = []
    private var how: Int32?

    // Counted up from 0: a semaphore that is given up below its first value ends the program.
    init(places count: Int) {
        places = DispatchSemaphore(value: 0)
        for _ in 0..<count { places.signal() }
    }

    func put(_ connection: Int32?) {
        lock.withLock { queue.append(connection) }
        waiting.signal()
    }

    func take() -> Int32? {
        waiting.wait()
        let first = lock.withLock { queue.removeFirst() }
        if first != nil { places.signal() }
        return first
    }

    func begin(_ connection: Int32) {
        lock.withLock {
            serving.insert(connection)
            if let how { shutdown(connection, how) }
        }
    }

    func end(_ connection: Int32) {
        lock.withLock {
            serving.remove(connection)
            close(connection)
        }
    }

    func stop(threads: Int) {
        lock.withLock {
            how = SHUT_RD
            for connection in serving { shutdown(connection, SHUT_RD) }
        }
        for _ in 0..<threads { put(nil) }
    }

    func breakOff() {
        lock.withLock {
            how = SHUT_RDWR
            for connection in serving { shutdown(connection, SHUT_RDWR) }
        }
    }
}
