import Course
import Sockets

/// The broadcast address of 127.0.0.0/8.
let everybody = "127.255.255.255"

func allowBroadcast(_ socket: Int32) throws {
    try withUnsafePointer(to: Int32(1)) { yes in
        let size = socklen_t(MemoryLayout<Int32>.size)
        guard setsockopt(socket, SOL_SOCKET, SO_BROADCAST, yes, size) == 0 else {
            throw SocketError("setsockopt(SO_BROADCAST)", errno)
        }
    }
}

/// Sends the whole datagram, or throws.
private func shout(_ message: [UInt8], to address: SocketAddress, from socket: Int32) throws {
    try address.withSockaddr { (name, size) throws -> Void in
        var header = msghdr()
        header.msg_name = UnsafeMutableRawPointer(mutating: UnsafeRawPointer(name))
        header.msg_namelen = size
        try message.withUnsafeBytes { bytes in
            var part = iovec(iov_base: UnsafeMutableRawPointer(mutating: bytes.baseAddress), iov_len: bytes.count)
            try withUnsafeMutablePointer(to: &part) {
                header.msg_iov = $0
                header.msg_iovlen = 1
                while sendmsg(socket, &header, 0) < 0 {
                    if errno == EINTR { continue }
                    throw SocketError("sendmsg", errno)
                }
            }
        }
    }
}

func broadcast(message: [UInt8], port: UInt16) throws {
    let all = try SocketAddress(host: everybody, port: port)
    let fd = try check("socket", socket(all.family, SOCK_DGRAM | SOCK_CLOEXEC, 0))
    try allowBroadcast(fd)
    try shout(message, to: all, from: fd)
    close(fd)
}
