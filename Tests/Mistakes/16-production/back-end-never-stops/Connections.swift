import Course
import Foundation
import Sockets

final class Connections: @unchecked Sendable {
    private let changed = NSCondition()
    private var open: Set<Int32> = []  // under `changed`

    static func run(
        host: String, port: UInt16, stop: Int32, serve: @escaping @Sendable (_ client: Int32) -> Void
    ) throws {
        let connections = Connections()
        let listener = try makeListener(host: host, port: port)
        do {
            defer { close(listener) }
            try connections.acceptClients(listener, until: stop, serve: serve)
        }
        connections.waitForAll(Lesson16.stopPatience)
    }

    private func acceptClients(_ listener: Int32, until stop: Int32, serve: @escaping @Sendable (Int32) -> Void) throws
    {
        while try waitFor(listener, or: -1).descriptor {
            _ = try acceptOne(listener, serve: serve)
        }
        for _ in 0..<SOMAXCONN { guard try acceptOne(listener, serve: serve) else { return } }
    }

    private func acceptOne(_ listener: Int32, serve: @escaping @Sendable (Int32) -> Void) throws -> Bool {
        let client = accept(listener, nil, nil)
        if client < 0 {
            switch errno {
            case EINTR, ECONNABORTED, EPROTO: return true
            case EAGAIN: return false
            case EMFILE, ENFILE, ENOBUFS, ENOMEM:
                if waitForOneToLeave() { return true }
                throw SocketError("accept", EMFILE)
            default: throw SocketError("accept", errno)
            }
        }
        _ = fcntl(client, F_SETFL, fcntl(client, F_GETFL) & ~O_NONBLOCK)
        changed.withLock { _ = open.insert(client) }
        Thread.detachNewThread { [self] in
            serve(client)
            changed.withLock {
                open.remove(client)
                close(client)
                changed.broadcast()
            }
        }
        return true
    }

    private func waitForOneToLeave() -> Bool {
        changed.withLock {
            let before = open.count
            let end = Date(timeIntervalSinceNow: 0.1)
            while open.count == before && before > 0 && changed.wait(until: end) {}
            return before > 0
        }
    }

    private func waitForAll(_ patience: Milliseconds) {
        changed.withLock {
            let end = Date(timeIntervalSinceNow: Double(patience) / 1000)
            while !open.isEmpty && changed.wait(until: end) {}
            for client in open { shutdown(client, SHUT_RDWR) }
            while !open.isEmpty { changed.wait() }
        }
    }
}

struct Readable {
    var descriptor: Bool
    var stop: Bool
}

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

func sendAll(_ client: Int32, _ bytes: [UInt8]) -> Bool {
    var sent = 0
    while sent < bytes.count {
        let count = bytes[sent...].withUnsafeBytes { send(client, $0.baseAddress, $0.count, MSG_NOSIGNAL) }
        if count < 0 && errno == EINTR { continue }
        if count < 0 { return false }
        sent += count
    }
    return true
}

func receive(_ client: Int32, _ buffer: inout [UInt8]) -> ArraySlice<UInt8> {
    while true {
        let count = recv(client, &buffer, buffer.count, 0)
        if count < 0 && errno == EINTR { continue }
        return buffer[..<max(count, 0)]
    }
}

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
        var on: Int32 = 1
        try check(
            "setsockopt", setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size)))
        try check("bind", address.withSockaddr { bind(listener, $0, $1) })
        try check("listen", listen(listener, SOMAXCONN))
        _ = fcntl(listener, F_SETFL, O_NONBLOCK)
        return listener
    } catch {
        close(listener)
        throw error
    }
}
