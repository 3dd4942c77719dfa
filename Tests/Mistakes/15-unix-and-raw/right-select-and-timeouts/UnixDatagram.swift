import Course
import Foundation
import Sockets

func datagramRequest(message: [UInt8], to path: String, from own: String, timeout: Milliseconds) throws -> [UInt8] {
    let end = ContinuousClock.now + .milliseconds(timeout)
    let server = try SocketAddress(unixPath: path)
    let me = try SocketAddress(unixPath: own)
    let fd = try check("socket", socket(AF_UNIX, SOCK_DGRAM, 0))
    defer { close(fd) }
    try check("bind", me.withSockaddr { bind(fd, $0, $1) })
    defer { unlink(own) }
    try check("connect", server.withSockaddr { connect(fd, $0, $1) })

    func limit(_ option: Int32) throws {
        let left = end - .now
        guard left > .zero else { throw SocketError("recv", ETIMEDOUT) }
        let us = max(1, Int(left / .microseconds(1)))
        var time = timeval(tv_sec: us / 1_000_000, tv_usec: us % 1_000_000)
        try check("setsockopt", setsockopt(fd, SOL_SOCKET, option, &time, socklen_t(MemoryLayout<timeval>.size)))
    }
    while true {
        try limit(SO_SNDTIMEO)
        if send(fd, message, message.count, MSG_NOSIGNAL) >= 0 { break }
        if errno != EINTR && errno != EAGAIN { throw SocketError("send", errno) }
    }
    var data = Data(count: 1 << 18)
    while true {
        try limit(SO_RCVTIMEO)
        let n = data.withUnsafeMutableBytes { recv(fd, $0.baseAddress, $0.count, 0) }
        if n >= 0 { return Array(data.prefix(n)) }
        if errno != EINTR && errno != EAGAIN { throw SocketError("recv", errno) }
    }
}
