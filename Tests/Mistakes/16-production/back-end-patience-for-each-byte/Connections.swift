// What both servers do alike: listen, a thread for each client, and the end of it all.
import Course
import Foundation
import Sockets
import Synchronization

/// The clients that are being served.
final class Connections: @unchecked Sendable {
    private let changed = NSCondition()
    private var open: Set<Int32> = []  // under `changed`

    /// Serves until `stop` is readable; then waits for what was begun.
    ///
    /// - Parameter serve: one client, in a thread of its own; it looks at `stop`, too, and comes back soon after. The
    ///   descriptor is closed behind it.
    static func run(
        host: String, port: UInt16, stop: Int32, serve: @escaping @Sendable (_ client: Int32) -> Void
    ) throws {
        let connections = Connections()
        let listener = try makeListener(host: host, port: port)
        do {
            defer { close(listener) }
            try connections.acceptClients(listener, until: stop, serve: serve)
        }
        // The listener is closed first of all: whoever connects from now on is refused at once, and the proxy asks
        // somebody else. In the queue of a listener that nobody accepts from, it would wait.
        connections.waitForAll(Lesson16.stopPatience)
    }

    private func acceptClients(_ listener: Int32, until stop: Int32, serve: @escaping @Sendable (Int32) -> Void) throws
    {
        while try !waitFor(listener, or: stop).stop {
            _ = try acceptOne(listener, serve: serve)
        }
        // Who stands in the queue has connected before, and has perhaps sent its request: it is taken, too. Not without
        // end: under load there is always one more.
        for _ in 0..<SOMAXCONN { guard try acceptOne(listener, serve: serve) else { return } }
    }

    /// - Returns: false if nobody stands in the queue.
    private func acceptOne(_ listener: Int32, serve: @escaping @Sendable (Int32) -> Void) throws -> Bool {
        let client = accept(listener, nil, nil)
        if client < 0 {
            switch errno {
            case EINTR, ECONNABORTED, EPROTO: return true
            case EAGAIN: return false
            case EMFILE, ENFILE, ENOBUFS, ENOMEM:
                // No room: the client stays in the queue until another has left.
                if waitForOneToLeave() { return true }
                throw SocketError("accept", EMFILE)
            default: throw SocketError("accept", errno)
            }
        }
        var patience = timeval(tv_sec: Lesson16.stopPatience / 1000, tv_usec: 0)
        setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
        // The listener does not block; on some systems its clients inherit that, and the threads want to wait.
        _ = fcntl(client, F_SETFL, fcntl(client, F_GETFL) & ~O_NONBLOCK)
        changed.withLock { _ = open.insert(client) }
        Thread.detachNewThread { [self] in
            serve(client)
            // Closed under the lock: its number may be another client's in the next moment.
            changed.withLock {
                open.remove(client)
                close(client)
                changed.broadcast()
            }
        }
        return true
    }

    /// - Returns: false if there is nobody who could leave.
    private func waitForOneToLeave() -> Bool {
        changed.withLock {
            let before = open.count
            let end = Date(timeIntervalSinceNow: 0.1)
            while open.count == before && before > 0 && changed.wait(until: end) {}
            return before > 0
        }
    }

    private func waitForAll(_ patience: Milliseconds) {
        isStopping.withLock { $0 = true }
        changed.withLock { while !open.isEmpty { changed.wait() } }
    }
}

private let isStopping = Mutex(false)

/// What poll has found readable; neither, if the time was over before.
struct Readable {
    var descriptor: Bool
    var stop: Bool
}

/// Waits until `descriptor` can be read, or `stop` can. A descriptor of -1 never can (poll(2)).
func waitFor(_ descriptor: Int32, or stop: Int32, timeout: Milliseconds = -1) throws -> Readable {
    var waiting = [descriptor, stop].map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
    while poll(&waiting, 2, Int32(clamping: timeout)) < 0 {
        guard errno == EINTR else { throw SocketError("poll", errno) }
    }
    return Readable(descriptor: waiting[0].revents != 0, stop: waiting[1].revents != 0)
}

func isReadable(_ descriptor: Int32, within patience: Milliseconds = 0) -> Bool {
    (try? waitFor(descriptor, or: -1, timeout: patience))?.descriptor ?? false
}

/// - Returns: false if the client is gone.
func sendAll(_ client: Int32, _ bytes: [UInt8]) -> Bool {
    var sent = 0
    while sent < bytes.count {
        // MSG_NOSIGNAL: a client that has left must not end the server (SIGPIPE).
        let count = bytes[sent...].withUnsafeBytes { send(client, $0.baseAddress, $0.count, MSG_NOSIGNAL) }
        if count < 0 && errno == EINTR { continue }
        if count < 0 { return false }
        sent += count
    }
    return true
}

/// The next bytes; none at the end, and none if the connection is broken, or silent for too long after the stop.
func receive(_ client: Int32, _ buffer: inout [UInt8]) -> ArraySlice<UInt8> {
    var silence = 0
    while !isReadable(client, within: 100) {
        if isStopping.withLock({ $0 }) { silence += 100 }
        if silence >= Lesson16.stopPatience { return [] }
    }
    while true {
        let count = recv(client, &buffer, buffer.count, 0)
        if count < 0 && errno == EINTR { continue }
        return buffer[..<max(count, 0)]
    }
}

/// All is said. The client takes it, and then closes; closed here with bytes unread, the connection would be reset, and a
/// reset takes from the client what it has not read yet.
func finish(_ client: Int32, _ buffer: inout [UInt8]) {
    shutdown(client, SHUT_WR)
    // For two seconds in all: nobody keeps us here.
    let end = ContinuousClock.now + .seconds(2)
    while true {
        let left = Int((end - .now) / .milliseconds(1))
        guard left > 0, isReadable(client, within: left), !receive(client, &buffer).isEmpty else { return }
    }
}

private func makeListener(host: String, port: UInt16) throws -> Int32 {
    let address = try SocketAddress(host: host, port: port)
    let listener = try check("socket", socket(address.family, SOCK_STREAM, 0))
    do {
        // Without it the port cannot be bound again for a minute after the server has ended (TIME_WAIT).
        var on: Int32 = 1
        try check(
            "setsockopt", setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size)))
        try check("bind", address.withSockaddr { bind(listener, $0, $1) })
        try check("listen", listen(listener, SOMAXCONN))
        // A client that poll has announced may be gone before accept: it must not wait for the next one then.
        _ = fcntl(listener, F_SETFL, O_NONBLOCK)
        return listener
    } catch {
        close(listener)
        throw error
    }
}
