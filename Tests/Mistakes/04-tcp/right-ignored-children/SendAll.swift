import Sockets

func sendAll(_ socket: Int32, _ bytes: [UInt8]) throws {
    signal(SIGPIPE, SIG_IGN)
    try bytes.withUnsafeBytes { buffer in
        var next = buffer.baseAddress
        var left = buffer.count
        while left > 0 {
            let count = write(socket, next, left)
            if count == -1 {
                if errno == EINTR { continue }
                throw SocketError("write", errno)
            }
            next = next?.advanced(by: count)
            left -= count
        }
    }
}
