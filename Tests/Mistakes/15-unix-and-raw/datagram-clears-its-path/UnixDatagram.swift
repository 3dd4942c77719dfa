import Course
import Sockets

func datagramRequest(message: [UInt8], to path: String, from own: String, timeout: Milliseconds) throws -> [UInt8] {
    let server = try SocketAddress(unixPath: path)
    let address = try SocketAddress(unixPath: own)
    let socket = try check("socket", socket(AF_UNIX, SOCK_DGRAM, 0))
    defer { close(socket) }
    unlink(own)
    // Without a name of our own the server would have no address to answer to.
    try check("bind", address.withSockaddr { bind(socket, $0, $1) })
    // Only behind bind: had it failed, the file would be somebody else's.
    defer { unlink(own) }
    // Connected, the socket takes datagrams from this peer only, and anybody could send to our path.
    try check("connect", server.withSockaddr { connect(socket, $0, $1) })

    let deadline = milliseconds() + timeout
    // A Unix datagram is never lost: where the server's queue is full, send waits. Not for ever.
    while true {
        try wait(socket, POLLOUT, until: deadline)
        let sent = message.withUnsafeBytes { send(socket, $0.baseAddress, $0.count, MSG_NOSIGNAL | MSG_DONTWAIT) }
        if sent >= 0 { break }
        guard errno == EINTR || errno == EAGAIN else { throw SocketError("send", errno) }
    }
    var buffer = [UInt8](repeating: 0, count: 256 << 10)
    while true {
        try wait(socket, POLLIN, until: deadline)
        let count = recv(socket, &buffer, buffer.count, MSG_DONTWAIT)
        if count >= 0 { return Array(buffer[..<count]) }
        guard errno == EINTR || errno == EAGAIN else { throw SocketError("recv", errno) }
    }
}

/// Throws ETIMEDOUT when the deadline has passed.
private func wait(_ socket: Int32, _ events: Int32, until deadline: Milliseconds) throws {
    var waiting = pollfd(fd: socket, events: Int16(events), revents: 0)
    while true {
        let left = deadline - milliseconds()
        let count = poll(&waiting, 1, Int32(clamping: max(0, left)))
        if count > 0 { return }
        if count < 0 && errno != EINTR { throw SocketError("poll", errno) }
        if count == 0 && left <= 0 { throw SocketError("recv", ETIMEDOUT) }
    }
}

/// A clock that nobody sets.
private func milliseconds() -> Milliseconds { Milliseconds(nanoseconds() / 1_000_000) }
