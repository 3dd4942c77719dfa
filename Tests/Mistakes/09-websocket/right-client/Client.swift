// A non-blocking socket, sendmsg(2) of head and payload, and poll(2) wherever something is waited for: one way to wait, with
// a deadline or without.
import Course
import Sockets

func openClient(host: String, port: UInt16, request: HandshakeRequest) throws -> any WebSocketClient {
    // Closed by its deinit, if anything here throws.
    let line = try Line(to: try SocketAddress(host: host, port: port))
    try line.send([clientRequest(request)], by: nil)
    var received: [UInt8] = []
    while true {
        received += try line.receive(by: nil)
        if let length = try checkAnswer(received, key: request.key) {
            return TalkingClient(line, Array(received.dropFirst(length)))
        }
    }
}

/// Owns the descriptor: it is open as long as this is there.
private final class Line {
    private let descriptor: Int32
    private var buffer = [UInt8](repeating: 0, count: 32_768)

    init(to address: SocketAddress) throws {
        descriptor = try check("socket", socket(address.family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0))
        let descriptor = descriptor
        if address.withSockaddr({ Sockets.connect(descriptor, $0, $1) }) == 0 { return }
        guard errno == EINPROGRESS || errno == EINTR else { throw SocketError("connect", errno) }
        _ = try wait(Int32(POLLOUT), by: nil)
        var code: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        try check("getsockopt", getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &size))
        guard code == 0 else { throw SocketError("connect", code) }
    }

    deinit { Sockets.close(descriptor) }

    /// - Returns: false when the time is over.
    func wait(_ events: Int32, by deadline: Milliseconds?) throws -> Bool {
        while true {
            let left = deadline.map { max(0, $0 - monotonicMilliseconds()) }
            if left == 0 { return false }
            var entry = pollfd(fd: descriptor, events: Int16(events), revents: 0)
            let count = poll(&entry, 1, left.map { Int32(clamping: $0) } ?? -1)
            if count > 0 { return true }
            if count < 0 && errno != EINTR { throw SocketError("poll", errno) }
        }
    }

    /// All pieces, one behind the other.
    func send(_ pieces: [[UInt8]], by deadline: Milliseconds?) throws {
        for piece in pieces {
            var sent = 0
            while sent < piece.count {
                let count = piece[sent...].withUnsafeBytes { bytes in
                    var vector = iovec(
                        iov_base: UnsafeMutableRawPointer(mutating: bytes.baseAddress), iov_len: bytes.count)
                    return withUnsafeMutablePointer(to: &vector) { vector in
                        var message = msghdr()
                        message.msg_iov = vector
                        message.msg_iovlen = 1
                        return sendmsg(descriptor, &message, MSG_NOSIGNAL)
                    }
                }
                if count >= 0 {
                    sent += count
                } else if errno == EAGAIN {
                    guard try wait(Int32(POLLOUT), by: deadline) else { throw SocketError("sendmsg", ETIMEDOUT) }
                } else if errno != EINTR {
                    throw SocketError("sendmsg", errno)
                }
            }
        }
    }

    /// At least one byte.
    func receive(by deadline: Milliseconds?) throws -> [UInt8] {
        while true {
            guard try wait(Int32(POLLIN), by: deadline) else { throw SocketError("recv", ETIMEDOUT) }
            let count = read(descriptor, &buffer, buffer.count)
            if count > 0 { return Array(buffer[..<count]) }
            if count == 0 { throw SocketError("recv", ECONNRESET) }
            if errno != EINTR && errno != EAGAIN { throw SocketError("recv", errno) }
        }
    }

    /// Nothing more from us; until the server closes, or the time is over.
    func leave(by deadline: Milliseconds) {
        guard shutdown(descriptor, SHUT_WR) == 0 else { return }
        while (try? receive(by: deadline)) != nil {}
    }
}

private final class TalkingClient: WebSocketClient {
    /// Nil: closed.
    private var line: Line?
    private var decoder = FrameDecoder(role: .client, limit: Lesson09.messageLimit)
    private var random = SystemRandomNumberGenerator()

    init(_ line: Line, _ rest: [UInt8]) {
        self.line = line
        decoder.feed(rest)
    }

    func send(_ opcode: Opcode, _ payload: [UInt8]) throws {
        guard let line else { throw SocketError("sendmsg", ENOTCONN) }
        try transmit(opcode, payload, line, by: nil)
    }

    func receive() throws -> WebSocketEvent {
        guard let line else { throw SocketError("recv", ENOTCONN) }
        do {
            while true {
                switch try nextEvent(line, by: nil) {
                case .ping(let payload): try transmit(.pong, payload, line, by: nil)
                case .close(let code, let reason):
                    end(line, saying: .some(code), by: monotonicMilliseconds() + Lesson09.closePatience)
                    return .close(code: code, reason: reason)
                case let event: return event
                }
            }
        } catch {
            // What is wrong with what it sent, the server is told; a broken connection can be told nothing.
            if let wrong = error as? WebSocketError {
                end(line, saying: .some(wrong.closeCode), by: monotonicMilliseconds() + Lesson09.closePatience)
            }
            self.line = nil
            throw error
        }
    }

    func close(code: UInt16, reason: String) throws -> WebSocketEvent {
        guard let line else { throw SocketError("sendmsg", ENOTCONN) }
        defer { self.line = nil }
        let deadline = monotonicMilliseconds() + Lesson09.closePatience
        var words = reason
        while words.utf8.count > 123 { words.removeLast() }
        try transmit(.close, TalkingClient.bytes(code) + Array(words.utf8), line, by: deadline)
        do {
            while true {
                // What was under way is no longer of interest, and we have promised to say nothing more.
                guard case .close(let code, let reason) = try nextEvent(line, by: deadline) else { continue }
                end(line, saying: nil, by: deadline)
                return .close(code: code, reason: reason)
            }
        } catch let wrong as WebSocketError {
            end(line, saying: nil, by: deadline)
            throw wrong
        }
    }

    private func nextEvent(_ line: Line, by deadline: Milliseconds?) throws -> WebSocketEvent {
        while true {
            if let event = try decoder.next() { return event }
            decoder.feed(try line.receive(by: deadline))
        }
    }

    private func transmit(_ opcode: Opcode, _ payload: [UInt8], _ line: Line, by deadline: Milliseconds?) throws {
        // New for each frame, and from the kernel.
        let mask = (0..<4).map { _ in UInt8.random(in: .min ... .max, using: &random) }
        try line.send([encodeFrame(opcode, payload, mask: mask)], by: deadline)
    }

    /// - Parameter saying: nil: no close frame, for it was sent before; nil inside: an empty one.
    private func end(_ line: Line, saying: UInt16??, by deadline: Milliseconds) {
        if case .some(let code) = saying {
            try? transmit(.close, code.map(TalkingClient.bytes) ?? [], line, by: deadline)
        }
        line.leave(by: deadline)
        self.line = nil
    }

    private static func bytes(_ code: UInt16) -> [UInt8] { [UInt8(code >> 8), UInt8(code & 0xFF)] }
}
