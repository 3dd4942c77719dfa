import Course
import Solution05
import Sockets

func openClient(host: String, port: UInt16) throws -> any ChatClient {
    let address = try SocketAddress(host: host, port: port)
    var client: Client? = Client(try check("socket", socket(address.family, SOCK_STREAM, 0)))
    defer { client = nil }
    do {
        try client!.connect(to: address)
        return client!
    } catch {
        client!.close()
        throw error
    }
}

/// Blocks; the kernel keeps the time (SO_RCVTIMEO, set anew to what is left before each recv).
private final class Client: ChatClient {
    private var descriptor: Int32?
    private var decoder = Solution05.reference.makeFrameDecoder(Lesson14.frameLimit)
    /// Of the frame that is under way.
    private var surplus = 0
    private var mailbox: [ChatMessage] = []

    init(_ descriptor: Int32) { self.descriptor = descriptor }
    deinit { close() }

    fileprivate func connect(to address: SocketAddress) throws {
        let socket = try open()
        guard address.withSockaddr({ Sockets.connect(socket, $0, $1) }) != 0 else { return }
        if errno != EINTR { throw SocketError("connect", errno) }
        var asked = pollfd(fd: socket, events: Int16(POLLOUT), revents: 0)
        var count: Int32
        repeat { count = poll(&asked, 1, -1) } while count < 0 && errno == EINTR
        try check("poll", count)
        var (code, size) = (Int32(0), socklen_t(4))
        try check("getsockopt", getsockopt(socket, SOL_SOCKET, SO_ERROR, &code, &size))
        if code != 0 { throw SocketError("connect", code) }
    }

    private func open() throws -> Int32 {
        guard let descriptor else { throw SocketError("chat", EBADF) }
        return descriptor
    }

    /// A no leaves all as it was; every other error closes.
    private func guarded<Result>(_ body: () throws -> Result) throws -> Result {
        do { return try body() } catch let problem as ChatProblem { throw problem } catch {
            close()
            throw error
        }
    }

    func login(_ username: String) throws {
        try guarded {
            try say(.login(username: username))
            try wait { message in
                switch message {
                case .loginResponse(nil): return true
                case .loginResponse(let problem?), .error(let problem): throw problem
                default:
                    mailbox.append(message)
                    return false
                }
            }
        }
    }

    func chat(_ content: String) throws { try guarded { try say(.chat(content: content)) } }

    func receive() throws -> ChatMessage? {
        if let message = mailbox.first {
            mailbox.removeFirst()
            return message
        }
        return try guarded { try next(until: nil) }
    }

    func logout() throws {
        defer { close() }
        try say(.logout)
        try wait { message in
            if message == .error(.notLoggedIn) { throw ChatProblem.notLoggedIn }
            return message == .logoutResponse
        }
    }

    func close() {
        guard let open = descriptor else { return }
        descriptor = nil
        _ = Sockets.close(open)
    }

    private func wait(_ isAnswer: (ChatMessage) throws -> Bool) throws {
        let deadline = Client.clock() + Lesson14.clientPatience
        while let message = try next(until: deadline) {
            if try isAnswer(message) { return }
        }
        throw SocketError("recv", ECONNRESET)
    }

    private func say(_ message: ChatMessage) throws {
        let socket = try open()
        var rest = Solution05.reference.encodeFrame(encodeMessage(message))[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { send(socket, $0.baseAddress, $0.count, MSG_NOSIGNAL) }
            if count < 0 && errno == EINTR { continue }
            rest = rest.dropFirst(try check("send", count))
        }
    }

    private func next(until deadline: Milliseconds?) throws -> ChatMessage? {
        let socket = try open()
        var room = [UInt8](repeating: 0, count: 8192)
        while true {
            if let frame = try decoder.next() {
                surplus -= frame.count + 4
                do { return try decodeMessage(frame) } catch MessageError.unknownType { continue }
            }
            var time = timeval()
            if let deadline {
                let left = deadline - Client.clock()
                guard left > 0 else { throw SocketError("recv", ETIMEDOUT) }
                time = timeval(tv_sec: left / 1000, tv_usec: left % 1000 * 1000)
            }
            try check(
                "setsockopt", setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &time, socklen_t(MemoryLayout<timeval>.size)))
            let count = recv(socket, &room, room.count, 0)
            if count < 0 && (errno == EINTR || errno == EAGAIN) { continue }
            if try check("recv", count) == 0 {
                if surplus > 0 { throw SocketError("recv", ECONNRESET) }
                return nil
            }
            surplus += count
            decoder.feed(Array(room[..<count]))
        }
    }

    private static func clock() -> Milliseconds {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return time.tv_sec * 1000 + time.tv_nsec / 1_000_000
    }
}
