import Course
import Sockets

func openClient(host: String, port: UInt16, request: HandshakeRequest) throws -> any WebSocketClient {
    let wire = try Wire(to: SocketAddress(host: host, port: port))
    try wire.send(clientRequest(request))
    var answer: [UInt8] = []
    var headLength: Int?
    while headLength == nil {
        answer += try wire.receive(by: nil)
        headLength = try checkAnswer(answer, key: request.key)
    }
    return Talker(wire, Array(answer.dropFirst(headLength ?? 0)))
}

/// A connected socket. Closed once: when it is told to, or when nobody holds it any more.
private final class Wire {
    private var descriptor: Int32
    private var room = [UInt8](repeating: 0, count: 65_536)

    init(to address: SocketAddress) throws {
        descriptor = try check("socket", socket(address.family, SOCK_STREAM, 0))
        guard address.withSockaddr({ connect(descriptor, $0, $1) }) != 0 else { return }
        var code = errno
        if code == EINTR {
            // It goes on without us: the end of it is what we wait for.
            var entry = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
            var ready: Int32 = 0
            repeat { ready = poll(&entry, 1, -1) } while ready < 0 && errno == EINTR
            var size = socklen_t(MemoryLayout<Int32>.size)
            if ready < 0 || getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &size) != 0 { code = errno }
        }
        guard code != 0 else { return }
        Sockets.close(descriptor)
        descriptor = -1
        throw SocketError("connect", code)
    }

    deinit { close() }

    func close() {
        if descriptor >= 0 { Sockets.close(descriptor) }
        descriptor = -1
    }

    func send(_ bytes: [UInt8], by deadline: Milliseconds? = nil) throws {
        guard descriptor >= 0 else { throw SocketError("send", ENOTCONN) }
        var rest = bytes[...]
        while !rest.isEmpty {
            let flags: Int32 = deadline == nil ? MSG_NOSIGNAL : MSG_NOSIGNAL | MSG_DONTWAIT
            let count = rest.withUnsafeBytes { Sockets.send(descriptor, $0.baseAddress, $0.count, flags) }
            if count >= 0 {
                rest = rest.dropFirst(count)
            } else if errno == EAGAIN, let deadline {
                guard try wait(Int32(POLLOUT), by: deadline) else { throw SocketError("send", ETIMEDOUT) }
            } else if errno != EINTR {
                throw SocketError("send", errno)
            }
        }
    }

    /// At least one byte. The end of the stream is an error.
    func receive(by deadline: Milliseconds?) throws -> ArraySlice<UInt8> {
        guard descriptor >= 0 else { throw SocketError("recv", ENOTCONN) }
        while true {
            if let deadline, try !wait(Int32(POLLIN), by: deadline) { throw SocketError("recv", ETIMEDOUT) }
            let count = recv(descriptor, &room, room.count, 0)
            if count > 0 { return room[..<count] }
            if count == 0 { throw SocketError("recv", ECONNRESET) }
            if errno != EINTR { throw SocketError("recv", errno) }
        }
    }

    private func wait(_ events: Int32, by deadline: Milliseconds) throws -> Bool {
        var entry = pollfd(fd: descriptor, events: Int16(events), revents: 0)
        while true {
            let left = deadline - monotonicMilliseconds()
            if left <= 0 { return false }
            let count = poll(&entry, 1, Int32(clamping: left))
            if count < 0 && errno == EINTR { continue }
            return try check("poll", count) > 0
        }
    }

    /// No more from here; what still comes from there is thrown away until it ends, or the time is over.
    func finish(by deadline: Milliseconds) {
        guard descriptor >= 0 else { return }
        shutdown(descriptor, Int32(SHUT_WR))
        while (try? receive(by: deadline)) != nil {}
        close()
    }
}

private final class Talker: WebSocketClient {
    private let wire: Wire
    private var decoder = FrameDecoder(role: .client, limit: Lesson09.messageLimit)
    private var isOver = false
    private var saidClose = false

    init(_ wire: Wire, _ firstFrames: [UInt8]) {
        self.wire = wire
        decoder.feed(firstFrames)
    }

    func send(_ opcode: Opcode, _ payload: [UInt8]) throws {
        if isOver { throw SocketError("send", ENOTCONN) }
        try say(opcode, payload)
    }

    func receive() throws -> WebSocketEvent {
        if isOver { throw SocketError("recv", ENOTCONN) }
        let event = try nextEvent(by: nil)
        if case .close(let code, _) = event {
            let deadline = monotonicMilliseconds() + Lesson09.closePatience
            try? sayClose(code, "", by: deadline)
            end(by: deadline)
        }
        return event
    }

    func close(code: UInt16, reason: String) throws -> WebSocketEvent {
        if isOver { throw SocketError("send", ENOTCONN) }
        let deadline = monotonicMilliseconds() + Lesson09.closePatience
        defer { end(by: deadline) }
        try sayClose(code, reason, by: deadline)
        while true {
            // Messages that were on their way are nobody's any more.
            if case .close(let code, let reason) = try nextEvent(by: deadline) {
                return .close(code: code, reason: reason)
            }
        }
    }

    /// The next event that is for the caller. Pings are not: they are answered here, wherever somebody waits.
    private func nextEvent(by deadline: Milliseconds?) throws -> WebSocketEvent {
        do {
            while true {
                guard let event = try decoder.next() else {
                    decoder.feed(Array(try wire.receive(by: deadline)))
                    continue
                }
                guard case .ping(let payload) = event else { return event }
                try say(.pong, payload, by: deadline)
            }
        } catch let error as WebSocketError {
            let deadline = deadline ?? monotonicMilliseconds() + Lesson09.closePatience
            if !saidClose { try? sayClose(error.closeCode, "", by: deadline) }
            end(by: deadline)
            throw error
        } catch {
            isOver = true
            wire.close()
            throw error
        }
    }

    private func sayClose(_ code: UInt16?, _ reason: String, by deadline: Milliseconds) throws {
        saidClose = true
        var payload: [UInt8] = []
        if let code { payload = withUnsafeBytes(of: code.bigEndian) { Array($0) } + Array(reason.utf8) }
        try say(.close, payload, by: deadline)
    }

    /// Each frame has a mask of its own that nobody can guess.
    private func say(_ opcode: Opcode, _ payload: [UInt8], by deadline: Milliseconds? = nil) throws {
        var chance = SystemRandomNumberGenerator()
        let mask = (0..<4).map { _ in UInt8.random(in: 0...255, using: &chance) }
        try wire.send(encodeFrame(opcode, payload, mask: mask), by: deadline)
    }

    private func end(by deadline: Milliseconds) {
        isOver = true
        wire.finish(by: deadline)
    }
}
