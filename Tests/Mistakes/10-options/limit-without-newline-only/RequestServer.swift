import Course
import Sockets

/// One client after another: while this one is served, the next wait in the listener's queue.
func requestServer(host: String, port: UInt16) throws {
    let listener = try makeListener(host: host, port: port, sharing: false)
    defer { close(listener) }
    try serveClients(listener)
}

/// A socket that connections can be accepted from, on a port of its own or on one that is shared with others who share.
func makeListener(host: String, port: UInt16, sharing: Bool) throws -> Int32 {
    let address = try SocketAddress(host: host, port: port)
    let listener = try check("socket", socket(address.family, SOCK_STREAM, 0))
    do {
        // Past connections in TIME_WAIT do not keep the port: a restart works at once.
        try set(listener, SOL_SOCKET, SO_REUSEADDR, "SO_REUSEADDR", to: 1 as Int32)
        // Before bind, which compares: all sockets on the port must have it, and belong to the same user.
        if sharing { try set(listener, SOL_SOCKET, SO_REUSEPORT, "SO_REUSEPORT", to: 1 as Int32) }
        try check("bind", address.withSockaddr { bind(listener, $0, $1) })
        try check("listen", listen(listener, SOMAXCONN))
        return listener
    } catch {
        close(listener)
        throw error
    }
}

func serveClients(_ listener: Int32) throws {
    while true {
        let connection = accept(listener, nil, nil)
        if connection >= 0 {
            serve(connection)
            continue
        }
        switch errno {
        case EINTR, ECONNABORTED, EPROTO, ENETDOWN, ENETUNREACH, EHOSTUNREACH: continue
        case EMFILE, ENFILE, ENOBUFS, ENOMEM:
            // No room now: trying at once would only spin. Room comes, in time.
            poll(nil, 0, 50)
        default: throw SocketError("accept", errno)
        }
    }
}

/// Owns the connection, and closes it. What breaks here is this client's end only, so nothing is thrown.
private func serve(_ connection: Int32) {
    defer { close(connection) }
    var buffer = [UInt8](repeating: 0, count: 4096)
    var line: [UInt8] = []
    while true {
        let count = recv(connection, &buffer, buffer.count, 0)
        if count < 0 && errno == EINTR { continue }
        guard count > 0 else { return }
        // All answers to what has come go out together.
        var answers: [UInt8] = []
        var isTooLong = false
        line += buffer[..<count]
        while let end = line.firstIndex(of: UInt8(ascii: "\n")) {
            answers += answer(to: Array(line[..<end]))
            line.removeFirst(end + 1)
        }
        // Nobody may fill our memory.
        if line.count > Lesson10.longestLine { isTooLong = true }
        guard sendAll(connection, answers), !isTooLong else { return }
    }
}

/// Head and body in one array, so that they leave in one send: a second small one would be held back until the first is
/// acknowledged (Nagle), and the client's kernel takes its time with that (delayed ACK), since it has nothing to send along
/// with it. TCP_NODELAY would end the wait, too, at the price of one more packet for each answer.
private func answer(to line: [UInt8]) -> [UInt8] {
    Array("\(line.count)\n".utf8) + line.map(uppercase)
}

private func sendAll(_ connection: Int32, _ bytes: [UInt8]) -> Bool {
    var unsent = bytes[...]
    while !unsent.isEmpty {
        let count = unsent.withUnsafeBytes { send(connection, $0.baseAddress, $0.count, MSG_NOSIGNAL) }
        if count < 0 && errno == EINTR { continue }
        guard count > 0 else { return false }
        unsent = unsent.dropFirst(count)
    }
    return true
}

/// a…z become A…Z; every other byte stays: they are bytes, not text in some language.
private func uppercase(_ byte: UInt8) -> UInt8 {
    (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte) ? byte - 32 : byte
}
