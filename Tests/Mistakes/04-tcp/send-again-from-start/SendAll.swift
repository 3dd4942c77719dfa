import Sockets

func sendAll(_ socket: Int32, _ bytes: [UInt8]) throws {
    var sent = 0
    while sent < bytes.count {
        let count = bytes[0...].withUnsafeBytes { send(socket, $0.baseAddress, $0.count, MSG_NOSIGNAL) }
        if count < 0 {
            if errno == EINTR { continue }
            throw SocketError("send", errno)
        }
        sent += count
    }
}
