import Course
import Foundation
import Sockets

/// SO_RCVTIMEO, read and write.
func connectedClient(message: [UInt8], host: String, port: UInt16, timeout: Milliseconds) throws -> [UInt8] {
    let address = try SocketAddress(host: host, port: port)
    let fd = socket(address.family, SOCK_DGRAM, 0)
    guard fd >= 0 else { throw SocketError("socket", errno) }
    defer { close(fd) }
    guard address.withSockaddr({ connect(fd, $0, $1) }) == 0 else { throw SocketError("connect", errno) }
    while write(fd, message, message.count) < 0 {
        if errno == EINTR { continue }
        throw SocketError("write", errno)
    }
    let end = DispatchTime.now().uptimeNanoseconds + UInt64(timeout) * 1_000_000
    var buffer = [UInt8](repeating: 0, count: 65_536)
    while true {
        let now = DispatchTime.now().uptimeNanoseconds
        if now >= end { throw RequestError.noAnswer }
        let left = Int((end - now) / 1000) + 1
        var limit = timeval(tv_sec: left / 1_000_000, tv_usec: __suseconds_t(left % 1_000_000))
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        let n = read(fd, &buffer, buffer.count)
        if n >= 0 { return Array(buffer[..<n]) }
        if errno == EAGAIN || errno == EINTR { continue }
        throw SocketError("read", errno)
    }
}
