import Course
import Foundation
import Sockets

func chatServer(host: String, port: UInt16, rules: ChatRules) throws {
    let address = try SocketAddress(host: host, port: port)
    let listener = try check("socket", socket(address.family, SOCK_STREAM, 0))
    defer { close(listener) }
    var on: Int32 = 1
    try check(
        "setsockopt", setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size)))
    try check("bind", address.withSockaddr { bind(listener, $0, $1) })
    try check("listen", listen(listener, SOMAXCONN))
    let room = Room(rules)
    while true {
        let descriptor = accept(listener, nil, nil)
        if descriptor < 0 {
            if errno == EINTR || errno == ECONNABORTED || errno == EMFILE { continue }
            throw SocketError("accept", errno)
        }
        let thread = Thread { room.serve(descriptor) }
        thread.stackSize = 512 << 10
        thread.start()
    }
}

private final class Room: @unchecked Sendable {
    private let rules: ChatRules
    private let lock = NSLock()
    private var members: Set<Int32> = []

    init(_ rules: ChatRules) { self.rules = rules }

    func serve(_ descriptor: Int32) {
        var connection = Connection(
            allowedOrigins: rules.allowedOrigins, messageLimit: rules.messageLimit, page: rules.page)
        var buffer = [UInt8](repeating: 0, count: 16_384)
        while connection.state != .finished {
            let count = recv(descriptor, &buffer, buffer.count, 0)
            if count < 0 && errno == EINTR { continue }
            if count <= 0 { break }
            connection.feed(Array(buffer[..<count]))
            while let event = connection.nextEvent() {
                answer(descriptor, &connection)
                switch event {
                case .text(let bytes): broadcast(encodeFrame(.text, bytes), from: descriptor)
                case .binary(let bytes): broadcast(encodeFrame(.binary, bytes), from: descriptor)
                default: break
                }
            }
            answer(descriptor, &connection)
            if connection.state == .open { lock.withLock { _ = members.insert(descriptor) } }
        }
        lock.withLock { _ = members.remove(descriptor) }
        shutdown(descriptor, SHUT_WR)
        var limit = timeval(tv_sec: 2, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        while connection.state == .finished, recv(descriptor, &buffer, buffer.count, 0) > 0 {}
        close(descriptor)
    }

    private func broadcast(_ frame: [UInt8], from sender: Int32) {
        lock.withLock {
            for member in members.sorted() where member != sender || rules.echoesToSender { send(frame, to: member) }
        }
    }

    private func answer(_ descriptor: Int32, _ connection: inout Connection) {
        guard !connection.output.isEmpty else { return }
        let bytes = connection.output.withUnsafeBytes { Array($0) }
        connection.hasSent(bytes.count)
        lock.withLock { send(bytes, to: descriptor) }
    }

    private func send(_ bytes: [UInt8], to descriptor: Int32) {
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes {
                Sockets.send(descriptor, $0.baseAddress! + sent, $0.count - sent, MSG_NOSIGNAL)
            }
            if count < 0 && errno == EINTR { continue }
            if count < 0 { return }
            sent += count
        }
    }
}
