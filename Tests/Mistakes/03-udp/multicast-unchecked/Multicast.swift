import Course
import Sockets

func multicastSend(message: [UInt8], group: String, port: UInt16) throws {
    let address = try SocketAddress(host: group, port: port)
    let sender = try check("socket", socket(AF_INET, SOCK_DGRAM, 0))
    defer { close(sender) }
    var loopback = try ipv4("127.0.0.1")
    try check(
        "setsockopt(IP_MULTICAST_IF)",
        setsockopt(sender, IPPROTO_IP, IP_MULTICAST_IF, &loopback, socklen_t(MemoryLayout<in_addr>.size)))
    try check(
        "sendto", retryingInterrupts { address.withSockaddr { sendto(sender, message, message.count, 0, $0, $1) } })
}

func multicastReceive(group: String, port: UInt16, timeout: Milliseconds) throws -> [UInt8] {
    let address = try SocketAddress(host: group, port: port)
    let member = try check("socket", socket(AF_INET, SOCK_DGRAM, 0))
    defer { close(member) }

    var on: Int32 = 1
    try check(
        "setsockopt(SO_REUSEADDR)",
        setsockopt(member, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size)))

    _ = address.withSockaddr { bind(member, $0, $1) }

    var membership = ip_mreq(imr_multiaddr: try ipv4(group), imr_interface: try ipv4("127.0.0.1"))
    _ = setsockopt(member, IPPROTO_IP, IP_ADD_MEMBERSHIP, &membership, socklen_t(MemoryLayout<ip_mreq>.size))

    let deadline = monotonicNanoseconds() + timeout * nanosecondsPerMillisecond
    guard let received = try receiveDatagram(on: member, until: deadline) else { throw RequestError.noAnswer }
    return received.bytes
}

private func ipv4(_ text: String) throws -> in_addr {
    var address = in_addr()
    guard inet_pton(AF_INET, text, &address) == 1 else { throw SocketError("inet_pton(\"\(text)\")", EINVAL) }
    return address
}
