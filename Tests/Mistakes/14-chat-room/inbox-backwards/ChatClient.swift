import Course
import Solution05
import Sockets

func openClient(host: String, port: UInt16) throws -> any ChatClient {
    let address = try SocketAddress(host: host, port: port)
    let descriptor = try check("socket", socket(address.family, SOCK_STREAM, 0))
    do {
        try connect(descriptor, to: address)
        return Client(descriptor)
    } catch {
        close(descriptor)
        throw error
    }
}

/// One thread, one connection, calls that block.
private final class Client: ChatClient {
    private var descriptor: Int32
    private let framing = Solution05.reference
    private var decoder: any MessageDecoder
    /// Bytes that the decoder has and that are no whole frame yet.
    private var incomplete = 0
    /// What came while an answer was waited for.
    private var inbox: [ChatMessage] = []

    init(_ descriptor: Int32) {
        self.descriptor = descriptor
        decoder = framing.makeFrameDecoder(Lesson14.frameLimit)
    }

    deinit { close() }

    func login(_ username: String) throws {
        try closingOnFailure {
            try send(.login(username: username))
            let deadline = monotonicMilliseconds() + Lesson14.clientPatience
            while let message = try next(by: deadline) {
                switch message {
                case .loginResponse(nil): return
                case .loginResponse(let problem?), .error(let problem): throw problem
                // A member that logs in a second time hears the others until the error comes.
                default: inbox.append(message)
                }
            }
            throw SocketError("recv", ECONNRESET)
        }
    }

    func chat(_ content: String) throws {
        try closingOnFailure { try send(.chat(content: content)) }
    }

    func receive() throws -> ChatMessage? {
        if let kept = inbox.popLast() { return kept }
        return try closingOnFailure { try next(by: nil) }
    }

    func logout() throws {
        defer { close() }
        try send(.logout)
        let deadline = monotonicMilliseconds() + Lesson14.clientPatience
        while let message = try next(by: deadline) {
            if message == .logoutResponse { return }
            if message == .error(.notLoggedIn) { throw ChatProblem.notLoggedIn }
        }
        throw SocketError("recv", ECONNRESET)
    }

    func close() {
        guard descriptor >= 0 else { return }
        Sockets.close(descriptor)
        descriptor = -1
    }

    /// A no of the server leaves all as it was. After every other error nobody knows what is under way.
    private func closingOnFailure<Result>(_ body: () throws -> Result) throws -> Result {
        do { return try body() } catch {
            if !(error is ChatProblem) { close() }
            throw error
        }
    }

    private func send(_ message: ChatMessage) throws {
        guard descriptor >= 0 else { throw SocketError("send", EBADF) }
        let frame = framing.encodeFrame(encodeMessage(message))
        var sent = 0
        while sent < frame.count {
            let count = frame[sent...].withUnsafeBytes {
                Sockets.send(descriptor, $0.baseAddress, $0.count, MSG_NOSIGNAL)
            }
            if count < 0 && errno == EINTR { continue }
            sent += try check("send", count)
        }
    }

    /// - Returns: nil at the end of the stream.
    private func next(by deadline: Milliseconds?) throws -> ChatMessage? {
        guard descriptor >= 0 else { throw SocketError("recv", EBADF) }
        var buffer = [UInt8](repeating: 0, count: 16_384)
        while true {
            while let frame = try decoder.next() {
                incomplete -= 4 + frame.count
                // A server of tomorrow may say more than we know.
                do { return try decodeMessage(frame) } catch MessageError.unknownType { continue }
            }
            if let deadline { try waitUntilReadable(descriptor, by: deadline) }
            let count = recv(descriptor, &buffer, buffer.count, 0)
            if count < 0 && errno == EINTR { continue }
            if try check("recv", count) == 0 {
                // Between two frames the server has ended; within one, somebody has cut the connection.
                if incomplete == 0 { return nil }
                throw SocketError("recv", ECONNRESET)
            }
            incomplete += count
            decoder.feed(Array(buffer[..<count]))
        }
    }
}

private func connect(_ descriptor: Int32, to address: SocketAddress) throws {
    if address.withSockaddr({ Sockets.connect(descriptor, $0, $1) }) == 0 { return }
    // Interrupted, it goes on by itself: to call connect again would be wrong (connect(2)).
    guard errno == EINTR else { throw SocketError("connect", errno) }
    var waiting = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
    while poll(&waiting, 1, -1) < 0 { guard errno == EINTR else { throw SocketError("poll", errno) } }
    var code: Int32 = 0
    var size = socklen_t(MemoryLayout<Int32>.size)
    try check("getsockopt", getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &size))
    guard code == 0 else { throw SocketError("connect", code) }
}

private func waitUntilReadable(_ descriptor: Int32, by deadline: Milliseconds) throws {
    var waiting = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    while true {
        // Looked at before poll is asked: who talks without a pause is always readable.
        let left = deadline - monotonicMilliseconds()
        guard left > 0 else { throw SocketError("recv", ETIMEDOUT) }
        let count = poll(&waiting, 1, Int32(clamping: left))
        if count < 0 && errno == EINTR { continue }
        if try check("poll", count) > 0 { return }
    }
}
