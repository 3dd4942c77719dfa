import Sockets

func closeGracefully(_ socket: Int32) throws {
    defer { close(socket) }
    try check("shutdown", shutdown(socket, SHUT_WR))
    while true {
        // tcp(7): with MSG_TRUNC the bytes are thrown away, and need no buffer.
        let count = recv(socket, nil, 1 << 20, MSG_TRUNC)
        if count == 0 { return }
        if count < 0 && errno != EINTR { throw SocketError("recv", errno) }
    }
}
