import Course
import Foundation
import Sockets

func openClient(host: String, port: UInt16) throws -> any ChatClient {
    let address = try SocketAddress(host: host, port: port)
    let descriptor = try check("socket", socket(address.family, SOCK_STREAM, 0))
    if address.withSockaddr({ connect(descriptor, $0, $1) }) != 0 {
        var code = errno
        if code == EINTR {
            var event = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
            while poll(&event, 1, -1) != 1 {}
            var size = socklen_t(4)
            getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &size)
        }
        if code != 0 {
            close(descriptor)
            throw SocketError("connect", code)
        }
    }
    return Client(descriptor: descriptor)
}

private final class Client: ChatClient {
    private let descriptor: Int32
    private var isOpen = true
    private var bytes: [UInt8] = []
    private var kept: [ChatMessage] = []

    init(descriptor: Int32) { self.descriptor = descriptor }

    deinit { close() }

    func close() {
        if isOpen { Sockets.close(descriptor) }
        isOpen = false
    }

    private func say(_ message: ChatMessage) throws {
        guard isOpen else { throw SocketError("send", EBADF) }
        let json = encodeMessage(message)
        var rest = withUnsafeBytes(of: UInt32(json.count).bigEndian, Array.init) + json
        while !rest.isEmpty {
            let count = send(descriptor, rest, rest.count, MSG_NOSIGNAL)
            if count >= 0 {
                rest.removeFirst(count)
            } else if errno != EINTR {
                let code = errno
                close()
                throw SocketError("send", code)
            }
        }
    }

    private func take() throws -> ChatMessage? {
        while bytes.count >= 4 {
            let length = bytes[..<4].reduce(0) { $0 * 256 + Int($1) }
            if length > Lesson14.frameLimit { throw FramingError.tooLong(limit: Lesson14.frameLimit) }
            if bytes.count < 4 + length { return nil }
            let frame = Array(bytes[4..<4 + length])
            bytes.removeFirst(4 + length)
            do { return try decodeMessage(frame) } catch MessageError.unknownType {}
        }
        return nil
    }

    /// - Parameter end: nil waits as long as it takes.
    private func next(until end: Date?) throws -> ChatMessage? {
        guard isOpen else { throw SocketError("recv", EBADF) }
        do {
            while true {
                if let message = try take() { return message }
                let left = end?.timeIntervalSinceNow ?? 0
                if end != nil, left <= 0 { throw SocketError("recv", ETIMEDOUT) }
                var time = timeval()
                time.tv_sec = .init(left)
                time.tv_usec = .init(max(left.truncatingRemainder(dividingBy: 1) * 1_000_000, end == nil ? 0 : 1))
                setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
                var part = [UInt8](repeating: 0, count: 1000)
                let count = recv(descriptor, &part, part.count, 0)
                if count == 0 {
                    if bytes.isEmpty { return nil }
                    throw SocketError("recv", ECONNRESET)
                }
                if count > 0 {
                    bytes += part[..<count]
                } else if errno != EINTR && errno != EAGAIN {
                    throw SocketError("recv", errno)
                }
            }
        } catch {
            close()
            throw error
        }
    }

    func login(_ username: String) throws {
        try say(.login(username: username))
        let end = Date() + Double(Lesson14.clientPatience) / 1000
        while let message = try next(until: end) {
            if case .error(let problem) = message { throw problem }
            if case .loginResponse(let refusal) = message {
                if let refusal { throw refusal }
                return
            }
            kept.append(message)
        }
        close()
        throw SocketError("recv", ECONNRESET)
    }

    func chat(_ content: String) throws { try say(.chat(content: content)) }

    func receive() throws -> ChatMessage? { kept.isEmpty ? try next(until: nil) : kept.removeFirst() }

    func logout() throws {
        defer { close() }
        try say(.logout)
        let end = Date() + Double(Lesson14.clientPatience) / 1000
        while let message = try next(until: end) { if message == .logoutResponse { return } }
        throw SocketError("recv", ECONNRESET)
    }
}
