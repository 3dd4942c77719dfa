import Course
import Sockets

func openClient(host: String, port: UInt16) throws -> any ChatClient {
    let address = try SocketAddress(host: host, port: port)
    let descriptor = try check("socket", socket(address.family, SOCK_STREAM, 0))
    var code: Int32 = 0
    if address.withSockaddr({ connect(descriptor, $0, $1) }) != 0 {
        code = errno
        if code == EINTR {
            // It goes on by itself.
            _ = wait(descriptor, for: Int32(POLLOUT), until: nil)
            var size = socklen_t(MemoryLayout<Int32>.size)
            if getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &size) != 0 { code = errno }
        }
    }
    if code != 0 {
        close(descriptor)
        throw SocketError("connect", code)
    }
    return Talker(descriptor)
}

private final class Talker: ChatClient {
    private var descriptor: Int32
    /// What came and is no whole frame yet.
    private var raw: [UInt8] = []
    private var kept: [ChatMessage] = []

    init(_ descriptor: Int32) { self.descriptor = descriptor }

    deinit { close() }

    func login(_ username: String) throws {
        try say(.login(username: username))
        let deadline = now() + Lesson14.clientPatience
        while true {
            guard let message = try next(deadline) else { throw fail(SocketError("recv", ECONNRESET)) }
            if case .loginResponse(let refusal) = message {
                guard let refusal else { return }
                throw refusal
            }
            if case .error(let problem) = message { throw problem }
            kept.append(message)
        }
    }

    func chat(_ content: String) throws { try say(.chat(content: content)) }

    func receive() throws -> ChatMessage? { try kept.isEmpty ? next(nil) : kept.removeFirst() }

    func logout() throws {
        defer { close() }
        try say(.logout)
        let deadline = now() + Lesson14.clientPatience
        while let message = try next(deadline) {
            switch message {
            case .logoutResponse: return
            case .error(let problem) where problem == .notLoggedIn: throw problem
            default: continue
            }
        }
        throw SocketError("recv", ECONNRESET)
    }

    func close() {
        if descriptor >= 0 { Sockets.close(descriptor) }
        descriptor = -1
    }

    private func fail(_ error: any Error) -> any Error {
        close()
        return error
    }

    private func say(_ message: ChatMessage) throws {
        let json = encodeMessage(message)
        let frame = withUnsafeBytes(of: UInt32(json.count).bigEndian) { Array($0) } + json
        guard descriptor >= 0 else { throw SocketError("send", EBADF) }
        guard sendWhole(descriptor, frame) else { throw fail(SocketError("send", errno)) }
    }

    private func next(_ deadline: Milliseconds?) throws -> ChatMessage? {
        var buffer = [UInt8](repeating: 0, count: 4096)
        while true {
            while let frame = try frame() {
                do { return try decodeMessage(frame) } catch MessageError.unknownType {} catch { throw fail(error) }
            }
            guard descriptor >= 0 else { throw SocketError("recv", EBADF) }
            if deadline != nil, wait(descriptor, for: Int32(POLLIN), until: deadline) == 0 {
                throw fail(SocketError("recv", ETIMEDOUT))
            }
            let count = receiveSome(descriptor, &buffer)
            if count < 0 { throw fail(SocketError("recv", errno)) }
            if count == 0 {
                if raw.isEmpty { return nil }
                throw fail(SocketError("recv", ECONNRESET))
            }
            raw += buffer[..<count]
        }
    }

    private func frame() throws -> [UInt8]? {
        guard raw.count >= 4 else { return nil }
        let length = Int(raw[0]) << 24 | Int(raw[1]) << 16 | Int(raw[2]) << 8 | Int(raw[3])
        guard length <= Lesson14.frameLimit else { throw fail(FramingError.tooLong(limit: Lesson14.frameLimit)) }
        guard raw.count >= 4 + length else { return nil }
        defer { raw.removeFirst(4 + length) }
        return Array(raw[4..<(4 + length)])
    }
}
