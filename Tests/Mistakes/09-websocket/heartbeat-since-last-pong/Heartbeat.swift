import Course
import Foundation
import Sockets

func heartbeatServer(host: String, port: UInt16, heartbeat: Heartbeat) throws {
    let address = try SocketAddress(host: host, port: port)
    let listener = try check("socket", socket(address.family, SOCK_STREAM, 0))
    defer { close(listener) }
    var on: Int32 = 1
    try check(
        "setsockopt", setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size)))
    try check("bind", address.withSockaddr { bind(listener, $0, $1) })
    try check("listen", listen(listener, SOMAXCONN))
    while true {
        let descriptor = accept(listener, nil, nil)
        if descriptor < 0 {
            switch errno {
            case EINTR, ECONNABORTED: continue
            case EMFILE, ENFILE, ENOBUFS, ENOMEM: usleep(20_000)
            default: throw SocketError("accept", errno)
            }
            continue
        }
        let thread = Thread {
            serve(descriptor, heartbeat)
            close(descriptor)
        }
        thread.stackSize = 512 << 10
        thread.start()
    }
}

/// One client, in a thread that waits for bytes or for the next moment, whichever comes first.
private func serve(_ descriptor: Int32, _ heartbeat: Heartbeat) {
    var connection = Connection()
    var nextPing: Milliseconds?
    var open: [[UInt8]] = []
    var lastPong: Milliseconds?
    var number: UInt32 = 0
    var buffer = [UInt8](repeating: 0, count: 16_384)
    while connection.state != .finished {
        let now = monotonicMilliseconds()
        if let ping = nextPing, ping <= now {
            number += 1
            let payload = Array("beat \(number)".utf8)
            connection.send(.ping, payload)
            open.append(payload)
            lastPong = lastPong ?? now
            nextPing = ping + heartbeat.interval
        }
        let deadline = lastPong.map { $0 + heartbeat.timeout }
        if let deadline, deadline <= now { return }
        guard flush(&connection, descriptor) else { return }
        let due = [nextPing, deadline].compactMap { $0 }.min()
        var waiting = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        let ready = poll(&waiting, 1, due.map { Int32(max(0, $0 - monotonicMilliseconds())) } ?? -1)
        if ready <= 0 { continue }
        let count = recv(descriptor, &buffer, buffer.count, 0)
        if count < 0 && errno == EINTR { continue }
        if count <= 0 { return }
        connection.feed(Array(buffer[..<count]))
        if nextPing == nil && connection.state == .open { nextPing = monotonicMilliseconds() + heartbeat.interval }
        while let event = connection.nextEvent() {
            switch event {
            case .text(let bytes): connection.send(.text, bytes)
            case .binary(let bytes): connection.send(.binary, bytes)
            case .pong(let payload):
                if let index = open.firstIndex(of: payload) {
                    open.removeFirst(index + 1)
                    lastPong = monotonicMilliseconds()
                }
            default: break
            }
        }
    }
    _ = flush(&connection, descriptor)
    shutdown(descriptor, SHUT_WR)
    var limit = timeval(tv_sec: 2, tv_usec: 0)
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    while recv(descriptor, &buffer, buffer.count, 0) > 0 {}
}

private func flush(_ connection: inout Connection, _ descriptor: Int32) -> Bool {
    while !connection.output.isEmpty {
        let count = connection.output.withUnsafeBytes { send(descriptor, $0.baseAddress, $0.count, MSG_NOSIGNAL) }
        if count < 0 && errno == EINTR { continue }
        if count < 0 { return false }
        connection.hasSent(count)
    }
    return true
}
