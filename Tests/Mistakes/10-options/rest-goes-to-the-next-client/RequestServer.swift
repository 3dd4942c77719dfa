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
    let lines = LineSplitter()
    while true {
        let connection = accept(listener, nil, nil)
        if connection >= 0 {
            serve(connection, lines)
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

/// Lesson 05 again: whatever the pieces, the same lines.
private final class LineSplitter {
    private var rest: [UInt8] = []

    /// - Returns: the lines that are complete now; nil if one is too long.
    func lines(in piece: ArraySlice<UInt8>) -> [[UInt8]]? {
        var lines: [[UInt8]] = []
        for byte in piece {
            if byte == 10 {
                lines.append(rest)
                rest.removeAll(keepingCapacity: true)
            } else {
                rest.append(byte)
                if rest.count > Lesson10.longestLine {
                    rest.removeAll()
                    return nil
                }
            }
        }
        return lines
    }
}

private func serve(_ connection: Int32, _ splitter: LineSplitter) {
    defer { close(connection) }
    var buffer = [UInt8](repeating: 0, count: 4096)
    while true {
        let count = recv(connection, &buffer, buffer.count, 0)
        if count < 0 && errno == EINTR { continue }
        guard count > 0, let lines = splitter.lines(in: buffer[..<count]) else { return }
        var answers: [UInt8] = []
        for line in lines {
            answers += Array("\(line.count)\n".utf8)
            answers += line.map { $0 >= 97 && $0 <= 122 ? $0 - 32 : $0 }
        }
        var sent = 0
        while sent < answers.count {
            let n = answers.withUnsafeBytes {
                send(connection, $0.baseAddress! + sent, answers.count - sent, MSG_NOSIGNAL)
            }
            if n < 0 && errno == EINTR { continue }
            if n <= 0 { return }
            sent += n
        }
    }
}
