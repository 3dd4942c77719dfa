import Course
import Sockets

func sendAll(_ socket: Int32, _ bytes: [UInt8]) throws {
    var left = bytes[...]
    while let _ = left.first {
        let n = left.withUnsafeBytes { part -> Int in
            var vector = iovec(iov_base: UnsafeMutableRawPointer(mutating: part.baseAddress), iov_len: part.count)
            return withUnsafeMutablePointer(to: &vector) { v in
                var message = msghdr()
                message.msg_iov = v
                message.msg_iovlen = 1
                return sendmsg(socket, &message, Int32(MSG_NOSIGNAL))
            }
        }
        switch n {
        case 0...: left = left.dropFirst(n)
        default: if errno != EINTR { throw SocketError("sendmsg", errno) }
        }
    }
}
