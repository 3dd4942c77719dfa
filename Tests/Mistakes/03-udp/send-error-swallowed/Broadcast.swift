import Course
import Sockets

let everybody = "127.255.255.255"

func broadcast(message: [UInt8], port: UInt16) throws {
    let address = try SocketAddress(host: everybody, port: port)
    let sender = try check("socket", socket(AF_INET, SOCK_DGRAM, 0))
    defer { close(sender) }
    try allowBroadcast(sender)
    _ = (retryingInterrupts { address.withSockaddr { sendto(sender, message, message.count, 0, $0, $1) } })
}

func allowBroadcast(_ socket: Int32) throws {
    var on: Int32 = 1
    try check(
        "setsockopt(SO_BROADCAST)",
        setsockopt(socket, SOL_SOCKET, SO_BROADCAST, &on, socklen_t(MemoryLayout<Int32>.size)))
}
