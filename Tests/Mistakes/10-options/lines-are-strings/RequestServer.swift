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

/// Text in, text out: strings are what Swift is good at.
private func serve(_ connection: Int32) {
    defer { close(connection) }
    var buffer = [UInt8](repeating: 0, count: 2048)
    var text = ""
    while true {
        let count = recv(connection, &buffer, buffer.count, 0)
        if count < 0 && errno == EINTR { continue }
        if count <= 0 { return }
        text += String(decoding: buffer[..<count], as: UTF8.self)
        var answers = ""
        while let newline = text.firstIndex(of: "\n") {
            let line = text[..<newline]
            if line.count > Lesson10.longestLine { return }
            answers += "\(line.count)\n\(line.uppercased())"
            text = String(text[text.index(after: newline)...])
        }
        var unsent = Array(answers.utf8)[...]
        while !unsent.isEmpty {
            let sent = unsent.withUnsafeBytes { send(connection, $0.baseAddress, $0.count, MSG_NOSIGNAL) }
            if sent < 0 && errno == EINTR { continue }
            if sent <= 0 { return }
            unsent = unsent.dropFirst(sent)
        }
        if text.count > Lesson10.longestLine { return }
    }
}
