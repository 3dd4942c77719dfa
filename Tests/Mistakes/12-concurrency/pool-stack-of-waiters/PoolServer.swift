import Course
import Dispatch
import Foundation
import Sockets

func poolServer(host: String, port: UInt16, limits: PoolLimits, stop: Int32) throws {
    let listener = try makeListener(host: host, port: port)
    let shop = Shop(limits)
    for _ in 0..<limits.threads { Thread(block: shop.serveCustomers).start() }
    Thread {
        while true {
            var one = pollfd(fd: stop, events: Int16(POLLIN), revents: 0)
            if poll(&one, 1, -1) > 0 { break }
        }
        shop.closeSoon()
    }.start()

    var failure: (any Error)?
    while shop.reserve() {
        var both = [
            pollfd(fd: listener, events: Int16(POLLIN), revents: 0),
            pollfd(fd: stop, events: Int16(POLLIN), revents: 0),
        ]
        while poll(&both, 2, -1) < 0 {}
        if both[1].revents != 0 { break }
        do { shop.enter(try acceptClient(listener)) } catch {
            failure = error
            break
        }
    }
    close(listener)
    shop.closeSoon()
    shop.empty(within: limits.grace)
    if let failure { throw failure }
}

/// Those who wait are a list, linked by hand: to put in and to take out costs the same however many there are.
private final class Waiting {
    let connection: Int32
    let next: Waiting?

    init(_ connection: Int32, next: Waiting?) {
        self.connection = connection
        self.next = next
    }
}

private final class Shop: @unchecked Sendable {
    private let lock = NSLock()
    private let chairs: DispatchSemaphore
    private let customers = DispatchSemaphore(value: 0)
    private let gone = DispatchSemaphore(value: 0)
    private let barbers: Int
    private var waiting: Waiting?
    private var inside: Set<Int32> = []
    private var isClosing = false

    init(_ limits: PoolLimits) {
        barbers = limits.threads
        chairs = DispatchSemaphore(value: 0)
        for _ in 0..<limits.queue { chairs.signal() }
    }

    /// Waits for a chair. False when the shop closes.
    func reserve() -> Bool {
        chairs.wait()
        return lock.withLock { !isClosing }
    }

    func enter(_ connection: Int32) {
        lock.withLock {
            inside.insert(connection)
            waiting = Waiting(connection, next: waiting)
            if isClosing { shutdown(connection, SHUT_RD) }
        }
        customers.signal()
    }

    func serveCustomers() {
        while true {
            customers.wait()
            let taken: Int32? = lock.withLock {
                let first = waiting
                waiting = first?.next
                return first?.connection
            }
            guard let connection = taken else { break }
            chairs.signal()
            serve(connection)
            lock.withLock {
                inside.remove(connection)
                close(connection)
            }
        }
        gone.signal()
    }

    func closeSoon() {
        let isFirst = lock.withLock {
            if isClosing { return false }
            isClosing = true
            for connection in inside { shutdown(connection, SHUT_RD) }
            return true
        }
        if isFirst { chairs.signal() }
    }

    func empty(within grace: Milliseconds) {
        // One more each than there are customers: who finds nobody goes home.
        for _ in 0..<barbers { customers.signal() }
        let end = DispatchTime.now() + .milliseconds(grace)
        var left = barbers
        while left > 0, gone.wait(timeout: end) == .success { left -= 1 }
        lock.withLock { for connection in inside { shutdown(connection, SHUT_RDWR) } }
        while left > 0 {
            gone.wait()
            left -= 1
        }
    }
}
