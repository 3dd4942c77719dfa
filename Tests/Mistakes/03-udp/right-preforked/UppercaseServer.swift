import Sockets

/// No datagram over IPv4 or IPv6 is longer.
let roomForDatagram = 65_536

func retryingInterrupts(_ call: () -> Int) -> Int {
    while true {
        let result = call()
        if result >= 0 || errno != EINTR { return result }
    }
}

/// Four processes wait for datagrams at one socket; the kernel gives each datagram to one of them.
func uppercaseServer(host: String, port: UInt16) throws {
    let address = try SocketAddress(host: host, port: port)
    let server = try check("socket", socket(address.family, SOCK_DGRAM | SOCK_CLOEXEC, 0))
    defer { close(server) }
    try check("bind", address.withSockaddr { bind(server, $0, $1) })

    for _ in 0..<3 {
        let child = forkProcess()
        if child < 0 { break }  // as many as there are
        if child > 0 { continue }
        break
    }

    var datagram = [UInt8](repeating: 0, count: roomForDatagram)
    while true {
        var sender = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let count = withUnsafeMutablePointer(to: &sender) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                recvfrom(server, &datagram, datagram.count, 0, $0, &length)
            }
        }
        if count < 0 { continue }
        for index in 0..<count where (0x61...0x7A).contains(datagram[index]) { datagram[index] -= 0x20 }
        _ = retryingInterrupts {
            withUnsafePointer(to: &sender) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { sendto(server, datagram, count, 0, $0, length) }
            }
        }
    }
}
