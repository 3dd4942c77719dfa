import Course
import Sockets

/// How long one call may still take, as the socket wants it.
private struct Budget {
    private let end: UInt64

    init(_ timeout: Milliseconds) { end = nanoseconds() + UInt64(max(0, timeout)) * 1_000_000 }

    /// Throws when nothing is left: a limit of 0 would mean "for ever".
    func lend(to socket: Int32, _ option: Int32) throws {
        let now = nanoseconds()
        guard now < end else { throw SocketError("setsockopt", ETIMEDOUT) }
        let left = Int((end - now + 999) / 1_000)
        var limit = timeval(tv_sec: left / 1_000_000, tv_usec: .init(left % 1_000_000))
        try check("setsockopt", setsockopt(socket, SOL_SOCKET, option, &limit, socklen_t(MemoryLayout<timeval>.size)))
    }
}

func datagramRequest(message: [UInt8], to path: String, from own: String, timeout: Milliseconds) throws -> [UInt8] {
    let there = try SocketAddress(unixPath: path)
    let here = try SocketAddress(unixPath: own)
    let mine = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)
    if mine < 0 { throw SocketError("socket", errno) }
    defer { close(mine) }
    try check("bind", here.withSockaddr { bind(mine, $0, $1) })
    defer { unlink(own) }
    try check("connect", there.withSockaddr { connect(mine, $0, $1) })

    let budget = Budget(timeout)
    var isSent = false
    while !isSent {
        try budget.lend(to: mine, SO_SNDTIMEO)
        let count = message.withUnsafeBytes { send(mine, $0.baseAddress, $0.count, MSG_NOSIGNAL) }
        if count < 0, errno != EINTR { throw SocketError("send", errno) }
        isSent = count >= 0
    }

    return try withUnsafeTemporaryAllocation(byteCount: 1 << 18, alignment: 16) { room in
        while true {
            try budget.lend(to: mine, SO_RCVTIMEO)
            let count = recv(mine, room.baseAddress, room.count, 0)
            if count >= 0 { return Array(room[..<count]) }
            switch errno {
            case EINTR: continue
            // The limit of the socket says it so.
            case EAGAIN: throw SocketError("recv", ETIMEDOUT)
            case let code: throw SocketError("recv", code)
            }
        }
    }
}
