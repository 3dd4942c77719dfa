import Course
import Dispatch
import Sockets

private var loopback: in_addr { in_addr(s_addr: in_addr_t(0x7f00_0001).bigEndian) }

func multicastSend(message: [UInt8], group: String, port: UInt16) throws {
    try withDatagramSocket(group, port) { fd, address in
        var interface = loopback
        try check("setsockopt(IP_MULTICAST_IF)", setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &interface, 4))
        try say(message, on: fd, to: address)
    }
}

func multicastReceive(group: String, port: UInt16, timeout: Milliseconds) throws -> [UInt8] {
    let deadline = DispatchTime.now() + .milliseconds(timeout)
    return try withDatagramSocket(group, port) { fd, address in
        var one: Int32 = 1
        try check("setsockopt(SO_REUSEADDR)", setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, 4))
        try check("bind", address.withSockaddr { bind(fd, $0, $1) })
        var membership = ip_mreq()
        inet_pton(AF_INET, group, &membership.imr_multiaddr)
        membership.imr_interface = loopback
        try check(
            "setsockopt(IP_ADD_MEMBERSHIP)",
            setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &membership, socklen_t(MemoryLayout<ip_mreq>.size)))
        guard let (bytes, _) = try hear(fd, by: deadline) else { throw RequestError.noAnswer }
        return bytes
    }
}
