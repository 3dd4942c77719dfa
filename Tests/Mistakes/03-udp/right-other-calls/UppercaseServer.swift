import Course
import Foundation
import Sockets

/// getaddrinfo for the address, recvmsg and sendmsg, raw memory.
func uppercaseServer(host: String, port: UInt16) throws {
    var hints = addrinfo()
    hints.ai_flags = AI_NUMERICHOST | AI_PASSIVE
    hints.ai_socktype = SOCK_DGRAM
    var list: UnsafeMutablePointer<addrinfo>?
    guard getaddrinfo(host, String(port), &hints, &list) == 0, let info = list else {
        throw SocketError("getaddrinfo", EINVAL)
    }
    defer { freeaddrinfo(list) }
    let fd = socket(info.pointee.ai_family, info.pointee.ai_socktype, info.pointee.ai_protocol)
    if fd < 0 { throw SocketError("socket", errno) }
    if bind(fd, info.pointee.ai_addr, info.pointee.ai_addrlen) < 0 {
        let code = errno
        close(fd)
        throw SocketError("bind", code)
    }
    let memory = UnsafeMutableRawPointer.allocate(byteCount: 1 << 16, alignment: 8)
    let name = UnsafeMutableRawPointer.allocate(byteCount: 128, alignment: 8)
    let vector = UnsafeMutablePointer<iovec>.allocate(capacity: 1)
    while true {
        var message = msghdr()
        message.msg_name = name
        message.msg_namelen = 128
        vector.pointee = iovec(iov_base: memory, iov_len: 1 << 16)
        message.msg_iov = vector
        message.msg_iovlen = 1
        let n = recvmsg(fd, &message, 0)
        if n < 0 { if errno == EINTR { continue } else { throw SocketError("recvmsg", errno) } }
        let p = memory.assumingMemoryBound(to: UInt8.self)
        for i in 0..<n where p[i] >= 0x61 && p[i] <= 0x7a { p[i] ^= 0x20 }
        vector.pointee.iov_len = n
        var m: Int
        repeat { m = sendmsg(fd, &message, 0) } while m < 0 && errno == EINTR
    }
}
