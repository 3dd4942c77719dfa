import Course
import Foundation
import Sockets

/// The interface by number (ip_mreqn).
func multicastSend(message: [UInt8], group: String, port: UInt16) throws {
    let fd = try check("socket", socket(AF_INET, SOCK_DGRAM, 0))
    defer { close(fd) }
    var which = ip_mreqn(imr_multiaddr: in_addr(), imr_address: in_addr(), imr_ifindex: Int32(if_nametoindex("lo")))
    try check("setsockopt", setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &which, socklen_t(MemoryLayout<ip_mreqn>.size)))
    var ttl: UInt8 = 0
    setsockopt(fd, IPPROTO_IP, IP_MULTICAST_TTL, &ttl, 1)
    let to = try SocketAddress(host: group, port: port)
    try check("sendto", to.withSockaddr { sendto(fd, message, message.count, 0, $0, $1) })
}

/// Bound to every address, and filtered by where each datagram was sent (IP_PKTINFO).
func multicastReceive(group: String, port: UInt16, timeout: Milliseconds) throws -> [UInt8] {
    let fd = try check("socket", socket(AF_INET, SOCK_DGRAM, 0))
    defer { close(fd) }
    var yes: Int32 = 1
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, 4)
    setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &yes, 4)
    var join = ip_mreqn(
        imr_multiaddr: in_addr(s_addr: inet_addr(group)), imr_address: in_addr(),
        imr_ifindex: Int32(if_nametoindex("lo")))
    try check(
        "setsockopt", setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &join, socklen_t(MemoryLayout<ip_mreqn>.size)))
    let any = try SocketAddress(host: "0.0.0.0", port: port)
    try check("bind", any.withSockaddr { bind(fd, $0, $1) })
    let end = DispatchTime.now() + .milliseconds(timeout)
    while true {
        let now = DispatchTime.now()
        if now >= end { throw RequestError.noAnswer }
        let left = Int((end.uptimeNanoseconds - now.uptimeNanoseconds) / 1000) + 1
        var limit = timeval(tv_sec: left / 1_000_000, tv_usec: __suseconds_t(left % 1_000_000))
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        var buffer = [UInt8](repeating: 0, count: 65_536)
        var control = [UInt8](repeating: 0, count: 256)
        let result: (Int, Bool) = buffer.withUnsafeMutableBytes { b in
            control.withUnsafeMutableBytes { c in
                var vector = iovec(iov_base: b.baseAddress, iov_len: b.count)
                return withUnsafeMutablePointer(to: &vector) { v in
                    var message = msghdr()
                    message.msg_iov = v
                    message.msg_iovlen = 1
                    message.msg_control = c.baseAddress
                    message.msg_controllen = c.count
                    let n = recvmsg(fd, &message, 0)
                    if n < 0 { return (n, false) }
                    var header = controlFirst(&message)
                    while let h = header {
                        if h.pointee.cmsg_level == IPPROTO_IP && h.pointee.cmsg_type == IP_PKTINFO {
                            let info = UnsafeRawPointer(controlData(h)!).loadUnaligned(as: in_pktinfo.self)
                            return (n, info.ipi_addr.s_addr == inet_addr(group))
                        }
                        header = controlNext(&message, h)
                    }
                    return (n, false)
                }
            }
        }
        if result.0 >= 0 && result.1 { return Array(buffer[..<result.0]) }
    }
}
