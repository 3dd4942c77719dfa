import Sockets

/// One thread and a non-blocking socket; poll waits for whichever direction can go on.
func client(message: [UInt8], host: String, port: UInt16) throws -> [UInt8] {
    _ = brokenPipesAreErrors
    let address = try SocketAddress(host: host, port: port)
    let fd = try check("socket", socket(address.family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0))
    defer { close(fd) }
    if address.withSockaddr({ connect(fd, $0, $1) }) < 0 {
        // In progress, or interrupted: the handshake goes on by itself either way.
        guard errno == EINPROGRESS || errno == EINTR else { throw SocketError("connect", errno) }
        _ = try wait(fd, POLLOUT)
        var outcome: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        try check("getsockopt", getsockopt(fd, SOL_SOCKET, SO_ERROR, &outcome, &size))
        if outcome != 0 { throw SocketError("connect", outcome) }
    }
    var sent = 0
    var isSending = true
    var isReceiving = true
    var answer: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 32_768)
    while isSending || isReceiving {
        if isSending && sent == message.count {
            isSending = false
            // It fails only if the connection has broken: then read says so, and why.
            if shutdown(fd, SHUT_WR) < 0 && !isReceiving { throw SocketError("shutdown", errno) }
            continue
        }
        let ready = try wait(fd, (isReceiving ? POLLIN : 0) | (isSending ? POLLOUT : 0))
        let broken = ready & (POLLERR | POLLHUP) != 0
        if isReceiving && (broken || ready & POLLIN != 0) {
            let count = read(fd, &buffer, buffer.count)
            if count > 0 {
                answer += buffer[..<count]
                continue
            }
            if count == 0 {
                isReceiving = false
            } else if errno != EINTR && errno != EAGAIN {
                throw SocketError("read", errno)
            }
        }
        if isSending && (broken || ready & POLLOUT != 0) {
            let count = message[sent...].withUnsafeBytes { write(fd, $0.baseAddress, $0.count) }
            if count >= 0 {
                sent += count
            } else if errno != EINTR && errno != EAGAIN {
                throw SocketError("write", errno)
            }
        }
    }
    return answer
}

private func wait(_ fd: Int32, _ events: Int32) throws -> Int32 {
    var one = pollfd(fd: fd, events: Int16(events), revents: 0)
    while poll(&one, 1, -1) < 0 {
        if errno != EINTR { throw SocketError("poll", errno) }
    }
    return Int32(one.revents)
}
