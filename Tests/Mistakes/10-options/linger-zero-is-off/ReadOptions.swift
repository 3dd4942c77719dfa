import Course
import Sockets

func readOptions(_ socket: Int32) throws -> SocketState {
    let sendSize = try number(socket, SOL_SOCKET, SO_SNDBUF, "SO_SNDBUF")
    let receiveSize = try number(socket, SOL_SOCKET, SO_RCVBUF, "SO_RCVBUF")
    let shares = try number(socket, SOL_SOCKET, SO_REUSEPORT, "SO_REUSEPORT")
    let listens = try number(socket, SOL_SOCKET, SO_ACCEPTCONN, "SO_ACCEPTCONN")

    // SO_LINGER: a pair
    var pair = linger()
    var pairSize = socklen_t(MemoryLayout<linger>.size)
    if getsockopt(socket, SOL_SOCKET, SO_LINGER, &pair, &pairSize) == -1 {
        throw SocketError("getsockopt(SO_LINGER)", errno)
    }

    // the two timeouts
    let receiveLimit = try milliseconds(socket, SO_RCVTIMEO, "SO_RCVTIMEO")
    let sendLimit = try milliseconds(socket, SO_SNDTIMEO, "SO_SNDTIMEO")

    // TCP_NODELAY: only TCP has one
    var noDelay: Bool?
    do {
        noDelay = try number(socket, IPPROTO_TCP, TCP_NODELAY, "TCP_NODELAY") != 0
    } catch let failure as SocketError {
        if failure.code != ENOPROTOOPT && failure.code != EOPNOTSUPP { throw failure }
    }

    // keep-alive
    var keepAlive = KeepAlive.off
    if try number(socket, SOL_SOCKET, SO_KEEPALIVE, "SO_KEEPALIVE") != 0 {
        let idle = try number(socket, IPPROTO_TCP, TCP_KEEPIDLE, "TCP_KEEPIDLE")
        let interval = try number(socket, IPPROTO_TCP, TCP_KEEPINTVL, "TCP_KEEPINTVL")
        let count = try number(socket, IPPROTO_TCP, TCP_KEEPCNT, "TCP_KEEPCNT")
        keepAlive = .on(idle: idle, interval: interval, count: count)
    }

    let flags = fcntl(socket, F_GETFL)
    if flags == -1 { throw SocketError("fcntl(F_GETFL)", errno) }

    return SocketState(
        sendBuffer: sendSize,
        receiveBuffer: receiveSize,
        noDelay: noDelay,
        keepAlive: keepAlive,
        linger: pair.l_linger > 0 ? .seconds(pair.l_linger) : .off,
        reusePort: shares != 0,
        receiveTimeout: receiveLimit,
        sendTimeout: sendLimit,
        isListening: listens != 0,
        isNonblocking: (flags & O_NONBLOCK) == O_NONBLOCK)
}

private func number(_ socket: Int32, _ level: Int32, _ option: Int32, _ name: String) throws -> Int32 {
    var value: Int32 = 0
    var size = socklen_t(MemoryLayout<Int32>.size)
    if getsockopt(socket, level, option, &value, &size) == -1 {
        throw SocketError("getsockopt(\(name))", errno)
    }
    return value
}

private func milliseconds(_ socket: Int32, _ option: Int32, _ name: String) throws -> Milliseconds {
    var time = timeval()
    var size = socklen_t(MemoryLayout<timeval>.size)
    if getsockopt(socket, SOL_SOCKET, option, &time, &size) == -1 {
        throw SocketError("getsockopt(\(name))", errno)
    }
    return Int(time.tv_sec) * 1000 + Int(time.tv_usec) / 1000
}
