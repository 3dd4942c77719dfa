import Sockets

func sendAll(_ socket: Int32, _ bytes: [UInt8]) throws {
    var sent = 0
    repeat {
        let count = bytes[sent...].withUnsafeBytes { send(socket, $0.baseAddress, $0.count, MSG_NOSIGNAL) }
        if count < 0 {
            if errno == EINTR { continue }
            throw SocketError("send", errno)
        }
        sent += count
        if count == 0 && bytes.isEmpty { continue }
    } while sent < bytes.count || bytes.isEmpty
}
