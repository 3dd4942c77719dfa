// Blocking calls with SO_RCVTIMEO: the kernel counts the patience.
import Course
import Solution05
import Sockets

func openClient(host: String, port: UInt16) throws -> any ChatClient {
    let address = try SocketAddress(host: host, port: port)
    let fd = try check("socket", socket(address.family, Int32(SOCK_STREAM) | Int32(SOCK_CLOEXEC.rawValue), 0))
    while address.withSockaddr({ connect(fd, $0, $1) }) != 0 {
        let why = errno
        if why == EINTR || why == EALREADY { continue }
        if why == EISCONN { break }
        close(fd)
        throw SocketError("connect", why)
    }
    return Client(fd)
}

private func now() -> Int64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1000
}

private final class Client: ChatClient {
    var fd: Int32
    var frames = Solution05.reference.makeFrameDecoder(Lesson14.frameLimit)
    /// Bytes of a frame that is not whole.
    var partial = 0
    var kept: [ChatMessage] = []

    init(_ fd: Int32) { self.fd = fd }
    deinit { close() }

    func close() {
        if fd >= 0 { Glibc.close(fd) }
        fd = -1
    }

    func say(_ message: ChatMessage) throws {
        guard fd >= 0 else { throw SocketError("send", EBADF) }
        var rest = Solution05.reference.encodeFrame(encodeMessage(message))[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { send(fd, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            if count < 0 {
                if errno == EINTR { continue }
                let why = errno
                close()
                throw SocketError("send", why)
            }
            rest = rest.dropFirst(count)
        }
    }

    /// The next message of a known type; nil at the end between two frames. After any error the descriptor is closed.
    func next(until deadline: Int64?) throws -> ChatMessage? {
        do {
            while true {
                while let frame = try frames.next() {
                    partial -= 4 + frame.count
                    do { return try decodeMessage(frame) } catch MessageError.unknownType {}
                }
                guard fd >= 0 else { throw SocketError("recv", EBADF) }
                var wait = timeval()
                if let deadline {
                    let left = deadline - now()
                    guard left > 0 else { throw SocketError("recv", ETIMEDOUT) }
                    wait.tv_sec = Int(left / 1_000_000)
                    wait.tv_usec = Int(left % 1_000_000)
                }
                try check(
                    "setsockopt", setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, socklen_t(MemoryLayout<timeval>.size)))
                let bytes = try [UInt8](unsafeUninitializedCapacity: 8192) { buffer, count in
                    let got = recv(fd, buffer.baseAddress, 8192, 0)
                    count = max(0, got)
                    if got == 0 { throw Over.end }
                    if got < 0 && errno != EINTR && errno != EAGAIN { throw SocketError("recv", errno) }
                }
                partial += bytes.count
                frames.feed(bytes)
            }
        } catch Over.end where partial == 0 {
            return nil
        } catch Over.end {
            close()
            throw SocketError("recv", ECONNRESET)
        } catch {
            close()
            throw error
        }
    }
    enum Over: Error { case end }

    func wait<Answer>(_ pick: (ChatMessage) throws -> Answer?) throws -> Answer {
        let deadline = now() + Int64(Lesson14.clientPatience) * 1000
        while let message = try next(until: deadline) {
            if let answer = try pick(message) { return answer }
        }
        close()
        throw SocketError("recv", ECONNRESET)
    }

    func login(_ username: String) throws {
        try say(.login(username: username))
        let refusal: ChatProblem? = try wait { message -> ChatProblem?? in
            switch message {
            case .loginResponse(let refusal): return .some(refusal)
            case .error(let problem): return .some(problem)
            default:
                return nil
            }
        }
        if let refusal { throw refusal }
    }

    func chat(_ content: String) throws { try say(.chat(content: content)) }

    func receive() throws -> ChatMessage? {
        kept.isEmpty ? try next(until: nil) : kept.removeFirst()
    }

    func logout() throws {
        try say(.logout)
        try wait { message in message == .logoutResponse ? () : nil }
        close()
    }
}
