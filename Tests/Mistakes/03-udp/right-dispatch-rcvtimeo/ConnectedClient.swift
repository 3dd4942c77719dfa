import Course
import Dispatch
import Sockets

func connectedClient(message: [UInt8], host: String, port: UInt16, timeout: Milliseconds) throws -> [UInt8] {
    try withDatagramSocket(host, port) { client, server in
        try check("connect", server.withSockaddr { connect(client, $0, $1) })
        while send(client, message, message.count, 0) < 0 {
            guard errno == EINTR else { throw SocketError("send", errno) }
        }
        guard let (answer, _) = try hear(client, by: .now() + .milliseconds(timeout)) else {
            throw RequestError.noAnswer
        }
        return answer
    }
}

func withDatagramSocket<R>(_ host: String, _ port: UInt16, _ body: (Int32, SocketAddress) throws -> R) throws -> R {
    let address = try SocketAddress(host: host, port: port)
    let fd = try check("socket", socket(address.family, SOCK_DGRAM, 0))
    defer { close(fd) }
    return try body(fd, address)
}

func say(_ bytes: [UInt8], on fd: Int32, to address: SocketAddress) throws {
    while address.withSockaddr({ sendto(fd, bytes, bytes.count, 0, $0, $1) }) < 0 {
        guard errno == EINTR else { throw SocketError("sendto", errno) }
    }
}

/// One datagram, or nil if the deadline is over. (DispatchTime counts like CLOCK_MONOTONIC.)
func hear(_ fd: Int32, by deadline: DispatchTime) throws -> ([UInt8], SocketAddress?)? {
    var room = [UInt8](repeating: 0, count: 65_535)
    while true {
        let now = DispatchTime.now()
        guard now < deadline else { return nil }
        // In microseconds, and never 0, which would mean "no limit".
        let left = Int((deadline.uptimeNanoseconds - now.uptimeNanoseconds + 999) / 1000)
        var limit = timeval(tv_sec: left / 1_000_000, tv_usec: left % 1_000_000)
        try check(
            "setsockopt(SO_RCVTIMEO)",
            setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size)))
        let (count, sender) = SocketAddress.received { recvfrom(fd, &room, room.count, 0, $0, $1) }
        if count >= 0 { return (Array(room[..<count]), sender) }
        guard errno == EINTR || errno == EAGAIN else { throw SocketError("recvfrom", errno) }
    }
}
