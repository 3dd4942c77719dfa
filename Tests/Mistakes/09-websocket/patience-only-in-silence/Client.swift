import Course
import Sockets

func openClient(host: String, port: UInt16, request: HandshakeRequest) throws -> any WebSocketClient {
    let address = try SocketAddress(host: host, port: port)
    let client = Talker(try check("socket", socket(address.family, SOCK_STREAM, 0)))
    do {
        try client.connect(to: address)
        try client.write(clientRequest(request))
        var answer: [UInt8] = []
        while true {
            answer += try client.read()
            if let length = try checkAnswer(answer, key: request.key) {
                client.start(with: Array(answer[length...]))
                return client
            }
        }
    } catch {
        client.hangUp()
        throw error
    }
}

/// Blocking calls; how long they may block says the socket itself.
private final class Talker: WebSocketClient {
    private var socket: Int32?
    private var decoder = FrameDecoder(role: .client, limit: Lesson09.messageLimit)
    private var buffer = [UInt8](repeating: 0, count: 32_768)
    private var isClosing = false

    init(_ socket: Int32) { self.socket = socket }

    deinit { hangUp() }

    func start(with bytes: [UInt8]) { decoder.feed(bytes) }

    // MARK: WebSocketClient

    func send(_ opcode: Opcode, _ payload: [UInt8]) throws {
        let mask = (0..<4).map { _ in UInt8.random(in: 0...255) }
        // A mask of zeros would be none.
        guard mask != [0, 0, 0, 0] else { return try send(opcode, payload) }
        try write(encodeFrame(opcode, payload, mask: mask))
    }

    func receive() throws -> WebSocketEvent {
        while true {
            let event = try next()
            if case .ping(let payload) = event {
                try send(.pong, payload)
            } else if case .close(let code, _) = event {
                try? sayClose(code, [])
                leave(by: monotonicMilliseconds() + Lesson09.closePatience)
                return event
            } else {
                return event
            }
        }
    }

    func close(code: UInt16, reason: String) throws -> WebSocketEvent {
        let end = monotonicMilliseconds() + Lesson09.closePatience
        do {
            try sayClose(code, Array(reason.utf8))
            while true {
                let event = try next(by: end)
                guard case .close = event else { continue }
                leave(by: end)
                return event
            }
        } catch {
            leave(by: end)
            throw error
        }
    }

    // MARK: Bytes

    private func next(by end: Milliseconds? = nil) throws -> WebSocketEvent {
        do {
            while true {
                if let event = try decoder.next() { return event }
                decoder.feed(try read(by: end))
            }
        } catch let error as WebSocketError {
            if !isClosing { try? sayClose(error.closeCode, []) }
            leave(by: end ?? monotonicMilliseconds() + Lesson09.closePatience)
            throw error
        } catch {
            hangUp()
            throw error
        }
    }

    private func sayClose(_ code: UInt16?, _ reason: [UInt8]) throws {
        isClosing = true
        limit(SO_SNDTIMEO, Lesson09.closePatience)
        try send(.close, code.map { [UInt8($0 >> 8), UInt8($0 & 0xFF)] + reason } ?? [])
    }

    private func limit(_ option: Int32, _ wait: Milliseconds) {
        guard let socket else { return }
        var time = timeval(tv_sec: wait / 1000, tv_usec: wait % 1000 * 1000)
        setsockopt(socket, SOL_SOCKET, option, &time, socklen_t(MemoryLayout<timeval>.size))
    }

    /// - Parameter end: nil waits as long as it takes.
    func read(by end: Milliseconds? = nil) throws -> [UInt8] {
        guard let socket else { throw SocketError("recv", ENOTCONN) }
        while true {
            // A limit of zero is none at all.
            if let end { limit(SO_RCVTIMEO, max(1, end - monotonicMilliseconds())) }
            let count = recv(socket, &buffer, buffer.count, 0)
            if count > 0 { return Array(buffer.prefix(count)) }
            if count == 0 { throw SocketError("recv", ECONNRESET) }
            if errno == EAGAIN { throw SocketError("recv", ETIMEDOUT) }
            if errno != EINTR { throw SocketError("recv", errno) }
        }
    }

    func write(_ bytes: [UInt8]) throws {
        guard let socket else { throw SocketError("send", ENOTCONN) }
        try bytes.withUnsafeBytes { bytes in
            var rest = bytes[...]
            while !rest.isEmpty {
                let part = UnsafeRawBufferPointer(rebasing: rest)
                let count = Sockets.send(socket, part.baseAddress, part.count, MSG_NOSIGNAL)
                if count >= 0 {
                    rest = rest.dropFirst(count)
                } else if errno != EINTR {
                    throw SocketError("send", errno == EAGAIN ? ETIMEDOUT : errno)
                }
            }
        }
    }

    /// No more from us; the server closes first, if it does.
    private func leave(by end: Milliseconds) {
        guard let socket else { return }
        shutdown(socket, Int32(SHUT_WR))
        while monotonicMilliseconds() < end, (try? read(by: end)) != nil {}
        hangUp()
    }

    func hangUp() {
        if let socket { Sockets.close(socket) }
        socket = nil
    }

    /// After EINTR the handshake goes on by itself, and is only waited for.
    func connect(to address: SocketAddress) throws {
        guard let socket else { return }
        if address.withSockaddr({ Sockets.connect(socket, $0, $1) }) == 0 { return }
        guard errno == EINTR else { throw SocketError("connect", errno) }
        var entry = pollfd(fd: socket, events: Int16(POLLOUT), revents: 0)
        var count: Int32
        repeat { count = poll(&entry, 1, -1) } while count < 0 && errno == EINTR
        try check("poll", count)
        var code: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        try check("getsockopt", getsockopt(socket, SOL_SOCKET, SO_ERROR, &code, &length))
        if code != 0 { throw SocketError("connect", code) }
    }
}
