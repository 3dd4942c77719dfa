import Course
import Sockets

/// Everybody on the loopback network 127.0.0.0/8: its highest address (RFC 919).
let everybody = "127.255.255.255"

func broadcast(message: [UInt8], port: UInt16) throws {
    let address = try SocketAddress(host: everybody, port: port)
    let sender = try check("socket", socket(AF_INET, SOCK_DGRAM, 0))
    defer { close(sender) }
    try allowBroadcast(sender)
    try check(
        "sendto", retryingInterrupts { address.withSockaddr { sendto(sender, message, message.count, 0, $0, $1) } })
}

/// Without it, sendto to a broadcast address fails with EACCES (socket(7), SO_BROADCAST): nobody shall wake a whole
/// network by mistake. Only the sender needs it.
func allowBroadcast(_ socket: Int32) throws {
    var on: Int32 = 1
    try check(
        "setsockopt(SO_BROADCAST)",
        setsockopt(socket, SOL_SOCKET, SO_BROADCAST, &on, socklen_t(MemoryLayout<Int32>.size)))
}
