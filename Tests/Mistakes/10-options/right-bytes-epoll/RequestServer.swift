import Course
import Sockets

func requestServer(host: String, port: UInt16) throws {
    try Service(host: host, port: port, options: []).run()
}

final class Service {
    private let listener: Int32

    init(host: String, port: UInt16, options: [RawOption]) throws {
        let address = try SocketAddress(host: host, port: port)
        let fd = try check("socket", socket(address.family, SOCK_STREAM | SOCK_CLOEXEC, 0))
        do {
            try RawOption("SO_REUSEADDR", SOL_SOCKET, SO_REUSEADDR, Int32(1)).apply(to: fd)
            // Inherited by the connections that are accepted.
            try RawOption("TCP_NODELAY", IPPROTO_TCP, TCP_NODELAY, Int32(1)).apply(to: fd)
            for option in options { try option.apply(to: fd) }
            try check("bind", address.withSockaddr { bind(fd, $0, $1) })
            try check("listen", listen(fd, SOMAXCONN))
        } catch {
            close(fd)
            throw error
        }
        listener = fd
    }

    deinit { close(listener) }

    func run() throws {
        while true {
            let fd = accept4(listener, nil, nil, SOCK_CLOEXEC)
            if fd >= 0 {
                Talk(fd).run()
                close(fd)
                continue
            }
            switch errno {
            case EINTR, ECONNABORTED, EPROTO, ENETDOWN, ENETUNREACH, EHOSTUNREACH, EHOSTDOWN, ENONET, ENOPROTOOPT,
                EOPNOTSUPP, EAGAIN:
                continue
            case EMFILE, ENFILE, ENOBUFS, ENOMEM: usleep(50_000)
            default: throw SocketError("accept4", errno)
            }
        }
    }
}

/// One client's connection; its owner closes it.
private struct Talk {
    let fd: Int32
    var line: [UInt8] = []

    init(_ fd: Int32) { self.fd = fd }

    consuming func run() {
        var talk = self
        var room = [UInt8](repeating: 0, count: 8192)
        while true {
            let got = read(talk.fd, &room, room.count)
            if got < 0 && errno == EINTR { continue }
            guard got > 0, talk.take(room[..<got]) else { return }
        }
    }

    /// - Returns: false if the connection is over.
    mutating func take(_ piece: ArraySlice<UInt8>) -> Bool {
        var rest = piece
        while let end = rest.firstIndex(of: 0x0A) {
            line += rest[..<end]
            rest = rest[(end + 1)...]
            guard line.count <= Lesson10.longestLine, answer() else { return false }
        }
        line += rest
        return line.count <= Lesson10.longestLine
    }

    private mutating func answer() -> Bool {
        var head = Array("\(line.count)\n".utf8)
        for index in line.indices where line[index] >= 0x61 && line[index] <= 0x7A { line[index] &= 0xDF }
        defer { line.removeAll() }
        let fd = self.fd
        return head.withUnsafeMutableBytes { head in
            line.withUnsafeMutableBytes { body in
                var parts = [iovec(iov_base: head.baseAddress, iov_len: head.count)]
                if body.count > 0 { parts.append(iovec(iov_base: body.baseAddress, iov_len: body.count)) }
                return sendParts(fd, &parts)
            }
        }
    }
}

private func sendParts(_ fd: Int32, _ parts: inout [iovec]) -> Bool {
    var first = 0
    while first < parts.count {
        var sent = parts[first...].withUnsafeBufferPointer {
            var message = msghdr()
            message.msg_iov = UnsafeMutablePointer(mutating: $0.baseAddress)
            message.msg_iovlen = .init($0.count)
            return sendmsg(fd, &message, MSG_NOSIGNAL)
        }
        if sent < 0 && errno == EINTR { continue }
        if sent < 0 { return false }
        while first < parts.count && sent >= parts[first].iov_len {
            sent -= parts[first].iov_len
            first += 1
        }
        if sent > 0 {
            parts[first].iov_base += sent
            parts[first].iov_len -= sent
        }
    }
    return true
}
