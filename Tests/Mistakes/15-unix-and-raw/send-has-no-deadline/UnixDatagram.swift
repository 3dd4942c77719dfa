import Course
import Sockets

func datagramRequest(message: [UInt8], to path: String, from own: String, timeout: Milliseconds) throws -> [UInt8] {
    let server = try SocketAddress(unixPath: path)
    let mine = try SocketAddress(unixPath: own)
    let fd = try check("socket", socket(AF_UNIX, SOCK_DGRAM, 0))
    defer { close(fd) }
    try check("bind", mine.withSockaddr { bind(fd, $0, $1) })
    defer { unlink(own) }
    try check("connect", server.withSockaddr { connect(fd, $0, $1) })

    let end = nanoseconds() + UInt64(timeout) * 1_000_000
    // Datagrams are gone at once: nothing to wait for here.
    while send(fd, message, message.count, MSG_NOSIGNAL) < 0 {
        if errno != EINTR { throw SocketError("send", errno) }
    }
    var answer = [UInt8](repeating: 0, count: 300_000)
    while true {
        let now = nanoseconds()
        guard now < end else { throw SocketError("recv", ETIMEDOUT) }
        var one = pollfd(fd: fd, events: Int16(POLLIN), revents: 0)
        let ready = poll(&one, 1, Int32((end - now) / 1_000_000 + 1))
        if ready < 0 && errno != EINTR { throw SocketError("poll", errno) }
        if ready <= 0 { continue }
        let n = recv(fd, &answer, answer.count, MSG_DONTWAIT)
        if n >= 0 { return Array(answer.prefix(n)) }
        if errno != EINTR && errno != EAGAIN { throw SocketError("recv", errno) }
    }
}
