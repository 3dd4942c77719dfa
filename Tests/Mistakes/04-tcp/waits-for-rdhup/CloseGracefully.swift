import Sockets

/// What poll(2) reports when the peer has ended its side of a stream.
private let peerHasEnded = Int16(0x2000)  // POLLRDHUP

func closeGracefully(_ socket: Int32) throws {
    defer { close(socket) }
    guard shutdown(socket, SHUT_WR) == 0 else { throw SocketError("shutdown", errno) }
    try waitForEnd(of: socket)
}

/// Sleeps until the peer has hung up, too.
private func waitForEnd(of socket: Int32) throws {
    while true {
        var watched = pollfd(fd: socket, events: peerHasEnded, revents: 0)
        let ready = poll(&watched, 1, -1)
        if ready < 0 {
            if errno == EINTR { continue }
            throw SocketError("poll", errno)
        }
        if watched.revents & peerHasEnded != 0 { return }
        if watched.revents & Int16(POLLERR | POLLHUP | POLLNVAL) != 0 {
            var reason: Int32 = 0
            var size = socklen_t(MemoryLayout<Int32>.size)
            getsockopt(socket, SOL_SOCKET, SO_ERROR, &reason, &size)
            throw SocketError("poll", reason)
        }
    }
}
