import Course
import Sockets

func multicastSend(message: [UInt8], group: String, port: UInt16) throws {
    let address = try SocketAddress(host: group, port: port)
    let fd = try check("socket", socket(AF_INET, SOCK_DGRAM, 0))
    defer { close(fd) }
    var interface = onLoopback(in_addr())
    try check(
        "setsockopt", setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &interface, socklen_t(MemoryLayout<ip_mreqn>.size)))
    try again("sendto") { address.withSockaddr { sendto(fd, message, message.count, 0, $0, $1) } }
}

func multicastReceive(group: String, port: UInt16, timeout: Milliseconds) throws -> [UInt8] {
    let address = try SocketAddress(host: group, port: port)
    var members = in_addr()
    guard inet_pton(AF_INET, group, &members) == 1 else { throw SocketError("inet_pton", EINVAL) }
    let fd = try check("socket", socket(AF_INET, SOCK_DGRAM, 0))
    defer { close(fd) }
    var yes: Int32 = 1
    try check("setsockopt", setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, 4))
    // Joined before it is bound: what comes in between has no port here, and is nobody's.
    var membership = onLoopback(members)
    try check(
        "setsockopt", setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &membership, socklen_t(MemoryLayout<ip_mreqn>.size))
    )
    try check("bind", address.withSockaddr { bind(fd, $0, $1) })
    return try withPatience(fd) { patience in
        try patience.reset(timeout)
        var room = [UInt8](repeating: 0, count: 1 << 16)
        guard let (bytes, _) = try patience.datagram(fd, &room) else { throw RequestError.noAnswer }
        return Array(bytes)
    }
}

private func onLoopback(_ group: in_addr) -> ip_mreqn {
    ip_mreqn(imr_multiaddr: group, imr_address: in_addr(s_addr: UInt32(0x7f00_0001).bigEndian), imr_ifindex: 0)
}
