import Course
import Sockets

func requestServer(host: String, port: UInt16) throws { try serve(host: host, port: port, with: [.SO_REUSEADDR]) }

func serve(host: String, port: UInt16, with options: [Option]) throws {
    let address = try SocketAddress(host: host, port: port)
    let listener = try check("socket", socket(address.family, SOCK_STREAM, IPPROTO_TCP))
    defer { close(listener) }
    for option in options { try option.set(listener, true) }
    try check("bind", address.withSockaddr { bind(listener, $0, $1) })
    try check("listen", listen(listener, 1024))
    while true {
        let (connection, code) = { (accept(listener, nil, nil), errno) }()
        if connection >= 0 {
            let session = Session(connection)
            session.run()
            continue
        }
        switch code {
        case EMFILE, ENFILE, ENOBUFS, ENOMEM:
            var pause = timespec(tv_sec: 0, tv_nsec: 50_000_000)
            nanosleep(&pause, nil)
        case EINTR, ECONNABORTED, EPROTO, ENETDOWN, ENETUNREACH, EHOSTUNREACH, EHOSTDOWN, ENONET, ENOPROTOOPT,
            EOPNOTSUPP, EAGAIN:
            break
        default: throw SocketError("accept", code)
        }
    }
}

/// Owns the connection: it is closed when the session goes.
private final class Session {
    private let connection: Int32
    private var parser = Parser()

    init(_ connection: Int32) { self.connection = connection }
    deinit { close(connection) }

    func run() {
        var room = [UInt8](repeating: 0, count: 16_384)
        while true {
            let count = recv(connection, &room, room.count, 0)
            if count < 0 && errno == EINTR { continue }
            if count <= 0 { return }
            // All parts of all answers, and only the last one is sent without "more is coming".
            var parts: [[UInt8]] = []
            var isOver = false
            reading: for byte in room[..<count] {
                switch parser.eat(byte) {
                case .more: continue
                case .line(let line):
                    parts.append(Array("\(line.count)\n".utf8))
                    if !line.isEmpty { parts.append(line.map { $0 >= 97 && $0 <= 122 ? $0 - 32 : $0 }) }
                case .tooLong:
                    isOver = true
                    break reading
                }
            }
            for (index, part) in parts.enumerated() {
                guard send(part, isLast: index == parts.count - 1) else { return }
            }
            if isOver { return }
        }
    }

    private func send(_ bytes: [UInt8], isLast: Bool) -> Bool {
        let flags: Int32 = isLast ? MSG_NOSIGNAL : MSG_NOSIGNAL | MSG_MORE
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.send(connection, $0.baseAddress, $0.count, flags) }
            if count >= 0 { rest.removeFirst(count) } else if errno != EINTR { return false }
        }
        return true
    }
}

private struct Parser {
    enum Step {
        case more
        case line([UInt8])
        case tooLong
    }
    private var line: [UInt8] = []

    mutating func eat(_ byte: UInt8) -> Step {
        if byte == 0x0A {
            defer { line = [] }
            return .line(line)
        }
        if line.count == Lesson10.longestLine { return .tooLong }
        line.append(byte)
        return .more
    }
}
