import Course
import Sockets

func datagramRequest(message: [UInt8], to path: String, from own: String, timeout: Milliseconds) throws -> [UInt8] {
    let (server, mine) = (try SocketAddress(unixPath: path), try SocketAddress(unixPath: own))
    let client = try check("socket", socket(AF_UNIX, SOCK_DGRAM, 0))
    defer { close(client) }
    try check("bind", mine.withSockaddr { bind(client, $0, $1) })
    defer { unlink(own) }

    var limit = timeval(tv_sec: timeout / 1000, tv_usec: timeout % 1000 * 1000)
    let size = socklen_t(MemoryLayout<timeval>.size)
    for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
        try check("setsockopt", setsockopt(client, SOL_SOCKET, option, &limit, size))
    }
    while server.withSockaddr({ sendto(client, message, message.count, MSG_NOSIGNAL, $0, $1) }) < 0 {
        guard errno == EINTR else { throw SocketError("sendto", errno == EAGAIN ? ETIMEDOUT : errno) }
    }
    var buffer = [UInt8](repeating: 0, count: 1 << 20)
    while true {
        let (count, sender) = SocketAddress.received { recvfrom(client, &buffer, buffer.count, 0, $0, $1) }
        if count < 0 {
            if errno == EINTR { continue }
            throw SocketError("recvfrom", errno == EAGAIN ? ETIMEDOUT : errno)
        }
        if sender?.host == path { return Array(buffer.prefix(count)) }
    }
}
