import Sockets

func closeGracefully(_ socket: Int32) throws {
    try check("shutdown", shutdown(socket, SHUT_WR))
    var buffer = [UInt8](repeating: 0, count: 4096)
    while true {
        let count = recv(socket, &buffer, buffer.count, 0)
        if count == 0 { close(socket); return }
        if count < 0 && errno != EINTR { throw SocketError("recv", errno) }
    }
}
