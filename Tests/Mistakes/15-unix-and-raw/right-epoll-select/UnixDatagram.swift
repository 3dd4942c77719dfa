import Course
import Sockets

/// pselect, and an answer whose size is asked for first (MSG_PEEK with MSG_TRUNC).
func datagramRequest(message: [UInt8], to path: String, from own: String, timeout: Milliseconds) throws -> [UInt8] {
    let end = nanoseconds() + UInt64(max(0, timeout)) * 1_000_000
    let server = try SocketAddress(unixPath: path)
    let here = try SocketAddress(unixPath: own)
    let fd = try check("socket", socket(AF_UNIX, SOCK_DGRAM, 0))
    defer { close(fd) }
    // To whom first: from its first moment our door is open to nobody else.
    try check("connect", server.withSockaddr { connect(fd, $0, $1) })
    try check("bind", here.withSockaddr { bind(fd, $0, $1) })
    defer { unlink(own) }

    var sent = false
    while !sent {
        guard try isReady(fd, writing: true, until: end) else { throw SocketError("send", ETIMEDOUT) }
        sent = sendto(fd, message, message.count, MSG_NOSIGNAL | MSG_DONTWAIT, nil, 0) >= 0
        if !sent && errno != EINTR && errno != EAGAIN { throw SocketError("send", errno) }
    }
    while true {
        guard try isReady(fd, writing: false, until: end) else { throw SocketError("recv", ETIMEDOUT) }
        var nothing: UInt8 = 0
        let size = recv(fd, &nothing, 1, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT)
        if size >= 0 {
            var answer = [UInt8](repeating: 0, count: max(1, size))
            let count = recv(fd, &answer, answer.count, MSG_DONTWAIT)
            if count >= 0 { return Array(answer[..<count]) }
        }
        if errno != EINTR && errno != EAGAIN { throw SocketError("recv", errno) }
    }
}

/// pselect for one descriptor; false when the time is over.
func isReady(_ fd: Int32, writing: Bool, until end: UInt64) throws -> Bool {
    guard fd < Int32(FD_SETSIZE) else { throw SocketError("pselect", EMFILE) }
    while true {
        let now = nanoseconds()
        if now >= end { return false }
        var time = timespec(tv_sec: Int((end - now) / 1_000_000_000), tv_nsec: Int((end - now) % 1_000_000_000))
        var set = fd_set()
        fdZero(&set)
        fdSet(fd, &set)
        let count = writing ? pselect(fd + 1, nil, &set, nil, &time, nil) : pselect(fd + 1, &set, nil, nil, &time, nil)
        if count > 0 { return true }
        if count < 0 && errno != EINTR { throw SocketError("pselect", errno) }
    }
}
