import Course
import Sockets

func openClient(host: String, port: UInt16, request: HandshakeRequest) throws -> any WebSocketClient {
    let address = try SocketAddress(host: host, port: port)
    let descriptor = try check("socket", socket(address.family, SOCK_STREAM, 0))
    do {
        try connect(descriptor, to: address)
        try sendAll(descriptor, clientRequest(request))
        var received: [UInt8] = []
        while true {
            received += try receiveSome(descriptor)
            guard let length = try checkAnswer(received, key: request.key) else { continue }
            // A server may speak at once: what came behind the answer's head are its first frames.
            return Client(descriptor, firstBytes: Array(received[length...]))
        }
    } catch {
        close(descriptor)
        throw error
    }
}

/// One thread, one connection, calls that block.
private final class Client: WebSocketClient {
    private var descriptor: Int32
    private var decoder = FrameDecoder(role: .client, limit: Lesson09.messageLimit)
    private var hasSaidClose = false

    init(_ descriptor: Int32, firstBytes: [UInt8]) {
        self.descriptor = descriptor
        decoder.feed(firstBytes)
    }

    deinit { if descriptor >= 0 { Sockets.close(descriptor) } }

    func send(_ opcode: Opcode, _ payload: [UInt8]) throws {
        try requireOpen("send")
        // A new mask for each frame, which nobody can guess: else a page could choose its text so that the bytes on the wire
        // look like something else to a proxy (RFC 6455, section 10.3).
        let mask = withUnsafeBytes(of: UInt32.random(in: .min ... .max), Array.init)
        try sendAll(descriptor, encodeFrame(opcode, payload, mask: mask))
    }

    func receive() throws -> WebSocketEvent {
        try requireOpen("recv")
        while true {
            let event = try nextEvent { try receiveSome(descriptor) }
            switch event {
            case .ping(let payload): try send(.pong, payload)
            case .close(let code, _):
                // With the same code, or, if there was none, without.
                try? sendClose(code, "")
                finish(by: monotonicMilliseconds() + Lesson09.closePatience)
                return event
            default: return event
            }
        }
    }

    func close(code: UInt16, reason: String) throws -> WebSocketEvent {
        try requireOpen("send")
        let deadline = monotonicMilliseconds() + Lesson09.closePatience
        defer { finish(by: deadline) }
        try sendClose(code, reason)
        while true {
            let event = try nextEvent {
                guard try waitUntilReadable(descriptor, by: deadline) else { throw SocketError("recv", ETIMEDOUT) }
                return try receiveSome(descriptor)
            }
            // Also when the server has closed at the same moment: either close frame answers the other.
            if case .close = event { return event }
        }
    }

    /// Who closed has no descriptor any more: its number may be another's.
    private func requireOpen(_ call: String) throws {
        guard descriptor >= 0 else { throw SocketError(call, ENOTCONN) }
    }

    private func nextEvent(receive: () throws -> [UInt8]) throws -> WebSocketEvent {
        do {
            while true {
                if let event = try decoder.next() { return event }
                decoder.feed(try receive())
            }
        } catch let error as WebSocketError {
            // The server broke the protocol: say which part, if it can still be told.
            if !hasSaidClose { try? sendClose(error.closeCode, "") }
            finish(by: monotonicMilliseconds() + Lesson09.closePatience)
            throw error
        } catch {
            Sockets.close(descriptor)
            descriptor = -1
            throw error
        }
    }

    private func sendClose(_ code: UInt16?, _ reason: String) throws {
        hasSaidClose = true
        // A server that reads nothing cannot keep us here.
        var limit = timeval(tv_sec: Lesson09.closePatience / 1000, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        let payload = code.map { [UInt8($0 >> 8), UInt8($0 & 0xFF)] + Array(reason.utf8) } ?? []
        try send(.close, payload)
    }

    /// "No more from me", and then the server closes first: TIME_WAIT is on its side, and our close frame is not lost to a
    /// reset, which it would be if bytes still came for a descriptor that is closed.
    private func finish(by deadline: Milliseconds) {
        guard descriptor >= 0 else { return }
        shutdown(descriptor, SHUT_WR)
        while let isReadable = try? waitUntilReadable(descriptor, by: deadline), isReadable,
            (try? receiveSome(descriptor)) != nil
        {}
        Sockets.close(descriptor)
        descriptor = -1
    }
}

// MARK: - Calls

/// A connect that a signal interrupts goes on by itself: its end is waited for, it is not called again (connect(2)).
private func connect(_ descriptor: Int32, to address: SocketAddress) throws {
    if address.withSockaddr({ Sockets.connect(descriptor, $0, $1) }) == 0 { return }
    guard errno == EINTR else { throw SocketError("connect", errno) }
    var waiting = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
    while poll(&waiting, 1, -1) < 0 { guard errno == EINTR else { throw SocketError("poll", errno) } }
    var code: Int32 = 0
    var size = socklen_t(MemoryLayout<Int32>.size)
    try check("getsockopt", getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &size))
    guard code == 0 else { throw SocketError("connect", code) }
}

private func sendAll(_ descriptor: Int32, _ bytes: [UInt8]) throws {
    var sent = 0
    while sent < bytes.count {
        let count = bytes.withUnsafeBytes {
            Sockets.send(descriptor, $0.baseAddress! + sent, $0.count - sent, MSG_NOSIGNAL)
        }
        if count < 0 && errno == EINTR { continue }
        // SO_SNDTIMEO is over, and nothing fitted in (socket(7)).
        if count < 0 && errno == EAGAIN { throw SocketError("send", ETIMEDOUT) }
        sent += try check("send", count)
    }
}

/// What there is, at least one byte. The end of the stream is an error here: it should have been announced by a close frame.
private func receiveSome(_ descriptor: Int32) throws -> [UInt8] {
    var buffer = [UInt8](repeating: 0, count: 65_536)
    while true {
        let count = recv(descriptor, &buffer, buffer.count, 0)
        if count < 0 && errno == EINTR { continue }
        try check("recv", count)
        guard count > 0 else { throw SocketError("recv", ECONNRESET) }
        return Array(buffer[..<count])
    }
}

private func waitUntilReadable(_ descriptor: Int32, by deadline: Milliseconds) throws -> Bool {
    var waiting = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    while true {
        let left = deadline - monotonicMilliseconds()
        if left <= 0 { return false }
        let count = poll(&waiting, 1, Int32(clamping: left))
        if count < 0 && errno == EINTR { continue }
        return try check("poll", count) > 0
    }
}
