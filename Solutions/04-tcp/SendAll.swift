import Sockets

/// send(2) copies what fits into the kernel's buffer and says how much that was: the rest is still ours to send.
func sendAll(_ socket: Int32, _ bytes: [UInt8]) throws {
    var sent = 0
    while sent < bytes.count {
        // MSG_NOSIGNAL: if the peer is gone this call should fail with EPIPE, not end the whole process with SIGPIPE.
        let count = bytes[sent...].withUnsafeBytes { send(socket, $0.baseAddress, $0.count, MSG_NOSIGNAL) }
        if count < 0 {
            // A signal came before a single byte was taken: nothing is lost, ask again.
            if errno == EINTR { continue }
            throw SocketError("send", errno)
        }
        sent += count
    }
}
