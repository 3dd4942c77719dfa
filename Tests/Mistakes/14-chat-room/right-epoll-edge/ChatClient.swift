import Course
import Sockets

func openClient(host: String, port: UInt16) throws -> any ChatClient {
    let address = try SocketAddress(host: host, port: port)
    let line = Line(try check("socket", socket(address.family, SOCK_STREAM, 0)))
    try line.connect(address)
    return EdgeClient(line)
}

/// A descriptor that does not block, and waits by poll. It is closed by the first error.
private final class Line {
    private(set) var descriptor: Int32
    init(_ descriptor: Int32) { self.descriptor = descriptor }
    deinit { close() }

    func close() {
        if descriptor != -1 { _ = Sockets.close(descriptor) }
        descriptor = -1
    }

    func failing(_ call: String, _ code: Int32) -> SocketError {
        close()
        return SocketError(call, code)
    }

    func connect(_ address: SocketAddress) throws {
        guard fcntl(descriptor, F_SETFL, O_NONBLOCK) == 0 else { throw failing("fcntl", errno) }
        if address.withSockaddr({ Sockets.connect(descriptor, $0, $1) }) == 0 { return }
        guard errno == EINPROGRESS || errno == EINTR else { throw failing("connect", errno) }
        _ = try wait(Int32(POLLOUT), nil)
        var code: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        if getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &size) != 0 { code = errno }
        if code != 0 { throw failing("connect", code) }
    }

    func wait(_ events: Int32, _ deadline: Milliseconds?) throws {
        while true {
            var asked = pollfd(fd: descriptor, events: Int16(events), revents: 0)
            let left = deadline.map { $0 - now() }
            if let left, left <= 0 { throw failing("poll", ETIMEDOUT) }
            let result = poll(&asked, 1, left.map { Int32(clamping: $0) } ?? -1)
            if result > 0 { return }
            if result < 0 && errno != EINTR { throw failing("poll", errno) }
        }
    }

    func send(_ bytes: [UInt8]) throws {
        var done = 0
        while done < bytes.count {
            let count = bytes.withUnsafeBytes {
                Sockets.send(descriptor, $0.baseAddress! + done, $0.count - done, MSG_NOSIGNAL)
            }
            if count >= 0 {
                done += count
            } else if errno == EAGAIN {
                try wait(Int32(POLLOUT), nil)
            } else if errno != EINTR {
                throw failing("send", errno)
            }
        }
    }

    /// Empty at the end of the stream.
    func receive(_ deadline: Milliseconds?) throws -> [UInt8] {
        if descriptor < 0 { throw SocketError("recv", EBADF) }
        while true {
            // Always asked first: who talks without a pause does not stop the clock.
            try wait(Int32(POLLIN), deadline)
            var failure: Int32 = 0
            let bytes = [UInt8](unsafeUninitializedCapacity: 8192) { room, count in
                let got = recv(descriptor, room.baseAddress, room.count, 0)
                failure = got < 0 ? errno : 0
                count = max(0, got)
            }
            switch failure {
            case 0: return bytes
            case EINTR, EAGAIN: continue
            default: throw failing("recv", failure)
            }
        }
    }
}

private final class EdgeClient: ChatClient {
    private let line: Line
    private var bytes: [UInt8] = []
    private var early: ArraySlice<ChatMessage> = []

    init(_ line: Line) { self.line = line }

    func login(_ username: String) throws {
        try say(.login(username: username))
        let deadline = now() + Lesson14.clientPatience
        while let message = try next(deadline) {
            switch message {
            case .loginResponse(let refusal):
                if let refusal { throw refusal }
                return
            case .error(let problem): throw problem
            default: early.append(message)
            }
        }
        throw line.failing("recv", ECONNRESET)
    }

    func chat(_ content: String) throws { try say(.chat(content: content)) }

    func receive() throws -> ChatMessage? {
        if let message = early.popFirst() { return message }
        return try next(nil)
    }

    func logout() throws {
        defer { close() }
        try say(.logout)
        let deadline = now() + Lesson14.clientPatience
        repeat {
            guard let message = try next(deadline) else { throw SocketError("recv", ECONNRESET) }
            if case .error(.notLoggedIn) = message { throw ChatProblem.notLoggedIn }
            if case .logoutResponse = message { return }
        } while true
    }

    func close() { line.close() }

    private func say(_ message: ChatMessage) throws {
        if line.descriptor < 0 { throw SocketError("send", EBADF) }
        let json = encodeMessage(message)
        try line.send((0..<4).map { UInt8(truncatingIfNeeded: json.count >> (24 - 8 * $0)) } + json)
    }

    private func next(_ deadline: Milliseconds?) throws -> ChatMessage? {
        do {
            while true {
                while let frame = try frame() {
                    do { return try decodeMessage(frame) } catch MessageError.unknownType { continue }
                }
                let more = try line.receive(deadline)
                if more.isEmpty {
                    guard bytes.isEmpty else { throw SocketError("recv", ECONNRESET) }
                    return nil
                }
                bytes += more
            }
        } catch {
            close()
            throw error
        }
    }

    private func frame() throws -> [UInt8]? {
        guard bytes.count >= 4 else { return nil }
        let length = bytes.prefix(4).reduce(0) { $0 * 256 + Int($1) }
        if length > Lesson14.frameLimit { throw FramingError.tooLong(limit: Lesson14.frameLimit) }
        guard bytes.count >= length + 4 else { return nil }
        let frame = Array(bytes[4..<(4 + length)])
        bytes.removeFirst(4 + length)
        return frame
    }
}
