import Sockets

/// One thread and poll: the question leaves as far as there is room, the answer is taken as it comes.
func client(message: [UInt8], host: String, port: UInt16) throws -> [UInt8] {
    let address = try SocketAddress(host: host, port: port)
    let fd = try check("socket", socket(address.family, SOCK_STREAM, 0))
    defer { close(fd) }
    try check("fcntl", fcntl(fd, F_SETFL, O_NONBLOCK))
    try dial(fd, address)
    var dialogue = Dialogue(fd: fd, question: message)
    return try dialogue.run()
}

private func dial(_ fd: Int32, _ address: SocketAddress) throws {
    if address.withSockaddr({ connect(fd, $0, $1) }) == 0 { return }
    guard errno == EINPROGRESS || errno == EINTR else { throw SocketError("connect", errno) }
    _ = try events(of: fd, POLLOUT)
    let code = try pendingError(fd)
    if code != 0 { throw SocketError("connect", code) }
}

private func events(of fd: Int32, _ wanted: Int32) throws -> Int32 {
    var entry = pollfd(fd: fd, events: Int16(wanted), revents: 0)
    while poll(&entry, 1, -1) < 0 {
        if errno != EINTR { throw SocketError("poll", errno) }
    }
    return Int32(entry.revents)
}

private func pendingError(_ fd: Int32) throws -> Int32 {
    var code: Int32 = 0
    var size = socklen_t(MemoryLayout<Int32>.size)
    try check("getsockopt", getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &size))
    return code
}

private struct Dialogue {
    let fd: Int32
    let question: [UInt8]
    var asked = 0
    var halfClosed = false
    var ended = false
    var answer: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 16_384)

    init(fd: Int32, question: [UInt8]) {
        self.fd = fd
        self.question = question
    }

    mutating func run() throws -> [UInt8] {
        while true {
            if asked == question.count && !halfClosed {
                // ENOTCONN: broken already. recv says how.
                if shutdown(fd, SHUT_WR) < 0 && errno != ENOTCONN { throw SocketError("shutdown", errno) }
                halfClosed = true
            }
            if halfClosed && ended { return answer }
            let seen = try events(of: fd, (halfClosed ? 0 : POLLOUT) | (ended ? 0 : POLLIN))
            if seen & POLLERR != 0 {
                let code = try pendingError(fd)
                throw SocketError("poll", code == 0 ? ECONNRESET : code)
            }
            if seen & POLLIN != 0 { try hear() }
            if seen & POLLOUT != 0 && !halfClosed { try speak() }
            // Both directions have been ended: there is nothing to wait for.
            if seen & POLLHUP != 0 { return answer }
        }
    }

    private mutating func hear() throws {
        let count = recv(fd, &chunk, chunk.count, 0)
        if count < 0 {
            if errno == EINTR || errno == EAGAIN { return }
            throw SocketError("recv", errno)
        }
        ended = count == 0
        answer.append(contentsOf: chunk[0..<count])
    }

    private mutating func speak() throws {
        let count = question.withUnsafeBytes { bytes in
            send(fd, bytes.baseAddress! + asked, bytes.count - asked, MSG_NOSIGNAL)
        }
        if count < 0 {
            if errno == EINTR || errno == EAGAIN { return }
            throw SocketError("send", errno)
        }
        asked += count
    }
}
