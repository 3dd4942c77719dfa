import Course
import Sockets

/// The socket is non-blocking from birth, pselect takes nanoseconds, and the peer's name says whether it is connected.
func connectWithTimeout(host: String, port: UInt16, timeout: Milliseconds) throws -> Int32 {
    let address = try SocketAddress(host: host, port: port)
    let connection = try check("socket", socket(address.family, SOCK_STREAM | O_NONBLOCK, 0))
    var isOurs = true
    defer { if isOurs { close(connection) } }
    guard connection < Int32(FD_SETSIZE) else { throw SocketError("socket", EMFILE) }

    var end = timespec()
    clock_gettime(CLOCK_MONOTONIC, &end)
    let deadline = Int(end.tv_sec) * 1_000_000_000 + Int(end.tv_nsec) + timeout * 1_000_000
    let begun = address.withSockaddr { connect(connection, $0, $1) }
    if begun < 0 && errno != EINPROGRESS && errno != EINTR { throw SocketError("connect", errno) }

    var isDecided = begun == 0
    while !isDecided {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        let left = max(0, deadline - Int(time.tv_sec) * 1_000_000_000 - Int(time.tv_nsec))
        var wait = timespec(tv_sec: left / 1_000_000_000, tv_nsec: left % 1_000_000_000)
        var (writable, failed) = (fd_set(), fd_set())
        fdZero(&writable)
        fdZero(&failed)
        fdSet(connection, &writable)
        fdSet(connection, &failed)
        switch pselect(connection + 1, nil, &writable, &failed, &wait, nil) {
        case 0: throw SocketError("connect", ETIMEDOUT)
        case 1...: isDecided = true
        default: if errno != EINTR { throw SocketError("pselect", errno) }
        }
    }
    var peer = sockaddr_storage()
    var size = socklen_t(MemoryLayout<sockaddr_storage>.size)
    let isConnected = withUnsafeMutablePointer(to: &peer) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { getpeername(connection, $0, &size) == 0 }
    }
    if !isConnected {
        var code: Int32 = 0
        var length = socklen_t(4)
        try check("getsockopt", getsockopt(connection, SOL_SOCKET, SO_ERROR, &code, &length))
        throw SocketError("connect", code == 0 ? ENOTCONN : code)
    }
    try check("fcntl", fcntl(connection, F_SETFL, fcntl(connection, F_GETFL) & ~O_NONBLOCK))
    isOurs = false
    return connection
}
