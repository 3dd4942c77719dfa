import Course
import Sockets

func openClient(host: String, port: UInt16) throws -> any ChatClient {
    let address = try SocketAddress(host: host, port: port)
    let connection = try check("socket", socket(address.family, SOCK_STREAM, 0))
    do {
        try call(connection, address)
    } catch {
        close(connection)
        throw error
    }
    return BlockingClient(connection)
}

private func call(_ connection: Int32, _ address: SocketAddress) throws {
    let result = address.withSockaddr { connect(connection, $0, $1) }
    if result == 0 { return }
    if errno != EINTR { throw SocketError("connect", errno) }
    var writable = pollfd(fd: connection, events: Int16(POLLOUT), revents: 0)
    while poll(&writable, 1, -1) == -1 {
        if errno != EINTR { throw SocketError("poll", errno) }
    }
    var problem: Int32 = 0
    var length = socklen_t(MemoryLayout.size(ofValue: problem))
    try check("getsockopt", getsockopt(connection, SOL_SOCKET, SO_ERROR, &problem, &length))
    if problem != 0 { throw SocketError("connect", problem) }
}

private final class BlockingClient: ChatClient {
    private var connection: Int32?
    private var kept: [ChatMessage] = []

    init(_ connection: Int32) { self.connection = connection }

    deinit { close() }

    func login(_ username: String) throws {
        do {
            try say(.login(username: username))
            let end = monotonicMilliseconds() + Lesson14.clientPatience
            while true {
                guard let message = try hear(until: end) else { throw SocketError("recv", ECONNRESET) }
                if case .loginResponse(let refusal) = message {
                    if let refusal { throw refusal }
                    return
                }
                if case .error(let problem) = message { throw problem }
                kept.append(message)
            }
        } catch let no as ChatProblem {
            throw no
        } catch {
            close()
            throw error
        }
    }

    func chat(_ content: String) throws {
        do { try say(.chat(content: content)) } catch {
            close()
            throw error
        }
    }

    func receive() throws -> ChatMessage? {
        guard kept.isEmpty else { return kept.removeFirst() }
        do { return try hear(until: nil) } catch {
            close()
            throw error
        }
    }

    func logout() throws {
        defer { close() }
        try say(.logout)
        let end = monotonicMilliseconds() + Lesson14.clientPatience
        while let message = try hear(until: end) {
            switch message {
            case .logoutResponse: return
            case .error(.notLoggedIn): throw ChatProblem.notLoggedIn
            default: continue
            }
        }
        throw SocketError("recv", ECONNRESET)
    }

    func close() {
        if let connection { Sockets.close(connection) }
        connection = nil
    }

    // MARK: Frames

    private func open() throws -> Int32 {
        guard let connection else { throw SocketError("socket", EBADF) }
        return connection
    }

    private func say(_ message: ChatMessage) throws {
        let json = encodeMessage(message)
        let frame = withUnsafeBytes(of: UInt32(json.count).bigEndian) { Array($0) } + json
        let connection = try open()
        try frame.withUnsafeBytes { bytes in
            var rest = bytes[...]
            while !rest.isEmpty {
                let piece = UnsafeRawBufferPointer(rebasing: rest)
                let count = send(connection, piece.baseAddress, piece.count, Int32(MSG_NOSIGNAL))
                if count == -1 && errno == EINTR { continue }
                rest = rest.dropFirst(try check("send", count))
            }
        }
    }

    /// The next message of a type that we know; nil at the end.
    private func hear(until end: Milliseconds?) throws -> ChatMessage? {
        while true {
            guard let head = try take(4, until: end) else { return nil }
            let length = head.reduce(0) { $0 << 8 | Int($1) }
            guard length <= Lesson14.frameLimit else { throw FramingError.tooLong(limit: Lesson14.frameLimit) }
            guard let json = try take(length, until: end) else { throw SocketError("recv", ECONNRESET) }
            do { return try decodeMessage(json) } catch MessageError.unknownType { continue }
        }
    }

    /// So many bytes: MSG_WAITALL has the kernel put them together. Fewer are only there when the stream has ended.
    ///
    /// - Returns: nil if there is not one byte before the end.
    private func take(_ count: Int, until end: Milliseconds?) throws -> [UInt8]? {
        if count == 0 { return [] }
        let connection = try open()
        var bytes = [UInt8](repeating: 0, count: count)
        while true {
            if let end { try wait(connection, until: end) }
            let received = recv(connection, &bytes, count, Int32(MSG_WAITALL))
            if received == -1 && errno == EINTR { continue }
            if try check("recv", received) == 0 { return nil }
            if received < count { throw SocketError("recv", ECONNRESET) }
            return bytes
        }
    }

    private func wait(_ connection: Int32, until end: Milliseconds) throws {
        var readable = pollfd(fd: connection, events: Int16(POLLIN), revents: 0)
        while true {
            let left = end - monotonicMilliseconds()
            if left <= 0 { throw SocketError("recv", ETIMEDOUT) }
            let ready = poll(&readable, 1, Int32(clamping: left))
            if ready > 0 { return }
            if ready < 0 && errno != EINTR { throw SocketError("poll", errno) }
        }
    }
}
