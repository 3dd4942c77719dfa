import Sockets

func sendAll(_ socket: Int32, _ bytes: [UInt8]) throws {
    let sent = 0
    if sent < bytes.count {
        let count = bytes[sent...].withUnsafeBytes { send(socket, $0.baseAddress, $0.count, MSG_NOSIGNAL) }
        if count < 0 {

            throw SocketError("send", errno)
        }
        _ = count
    }
}
