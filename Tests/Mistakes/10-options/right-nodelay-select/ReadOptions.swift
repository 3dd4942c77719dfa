import Course
import Sockets

func readOptions(_ socket: Int32) throws -> SocketState {
    let getter = Getter(socket: socket)
    let isKeptAlive = try getter.number("SO_KEEPALIVE", SOL_SOCKET, SO_KEEPALIVE)
    var state = SocketState(
        sendBuffer: try getter.number("SO_SNDBUF", SOL_SOCKET, SO_SNDBUF),
        receiveBuffer: try getter.number("SO_RCVBUF", SOL_SOCKET, SO_RCVBUF),
        noDelay: nil, keepAlive: .off, linger: .off,
        reusePort: try getter.number("SO_REUSEPORT", SOL_SOCKET, SO_REUSEPORT) > 0,
        receiveTimeout: try getter.time("SO_RCVTIMEO", SO_RCVTIMEO),
        sendTimeout: try getter.time("SO_SNDTIMEO", SO_SNDTIMEO),
        isListening: try getter.number("SO_ACCEPTCONN", SOL_SOCKET, SO_ACCEPTCONN) > 0,
        isNonblocking: try check("fcntl(F_GETFL)", fcntl(socket, F_GETFL)) & O_NONBLOCK > 0)

    var pair = linger()
    try getter.value("SO_LINGER", SOL_SOCKET, SO_LINGER, &pair)
    if pair.l_onoff != 0 { state.linger = .seconds(pair.l_linger) }

    // Of a socket of another protocol TCP's options are not asked at all.
    if try getter.number("SO_PROTOCOL", SOL_SOCKET, SO_PROTOCOL) == IPPROTO_TCP {
        state.noDelay = try getter.number("TCP_NODELAY", IPPROTO_TCP, TCP_NODELAY) > 0
        if isKeptAlive > 0 {
            state.keepAlive = .on(
                idle: try getter.number("TCP_KEEPIDLE", IPPROTO_TCP, TCP_KEEPIDLE),
                interval: try getter.number("TCP_KEEPINTVL", IPPROTO_TCP, TCP_KEEPINTVL),
                count: try getter.number("TCP_KEEPCNT", IPPROTO_TCP, TCP_KEEPCNT))
        }
    }
    return state
}

private struct Getter {
    let socket: Int32

    func value<Content>(_ name: String, _ level: Int32, _ option: Int32, _ content: inout Content) throws {
        var size = socklen_t(MemoryLayout<Content>.size)
        if getsockopt(socket, level, option, &content, &size) < 0 { throw SocketError("getsockopt(\(name))", errno) }
    }

    func number(_ name: String, _ level: Int32, _ option: Int32) throws -> Int32 {
        var number: Int32 = 0
        try value(name, level, option, &number)
        return number
    }

    func time(_ name: String, _ option: Int32) throws -> Milliseconds {
        var time = timeval()
        try value(name, SOL_SOCKET, option, &time)
        return time.tv_sec * 1000 + time.tv_usec / 1000
    }
}
