import Course
import Foundation
import Sockets

/// poll for ever, then a non-blocking recvfrom; Date and Data.
func timestampServer(host: String, port: UInt16) throws {
    let address = try SocketAddress(host: host, port: port)
    let fd = try check("socket", socket(address.family, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0))
    try check("bind", address.withSockaddr { bind(fd, $0, $1) })
    var data = Data(count: 65_536)
    while true {
        var p = pollfd(fd: fd, events: Int16(POLLIN), revents: 0)
        if poll(&p, 1, -1) < 0 { continue }
        let (n, from) = data.withUnsafeMutableBytes { buffer in
            SocketAddress.received { recvfrom(fd, buffer.baseAddress, buffer.count, 0, $0, $1) }
        }
        guard n >= 0, let from else { continue }
        let now = UInt64(Date().timeIntervalSince1970 * 1000)
        var answer = Data(String(format: "%llu ", now).utf8)
        answer.append(data.prefix(n))
        while true {
            let sent = answer.withUnsafeBytes { b in from.withSockaddr { sendto(fd, b.baseAddress, b.count, 0, $0, $1) }
            }
            if sent >= 0 || errno != EINTR { break }
        }
    }
}
