import Sockets

func closeGracefully(_ socket: Int32) throws {
    defer { close(socket) }
    var buffer = [UInt8](repeating: 0, count: 4096)
    while true {
        let count = recv(socket, &buffer, buffer.count, 0)
        if count == 0 { return }
        if count < 0 && errno != EINTR { throw SocketError("recv", errno) }
    }
}
