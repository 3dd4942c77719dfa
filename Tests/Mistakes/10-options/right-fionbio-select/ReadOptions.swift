import Course
import Sockets

func readOptions(_ socket: Int32) throws -> SocketState {
    func number(_ level: Int32, _ option: Int32, _ name: String) throws -> Int32 {
        try ask(socket, level, option, name, of: Int32.self)
    }
    func isSet(_ option: Int32, _ name: String) throws -> Bool { try number(SOL_SOCKET, option, name) != 0 }
    func time(_ option: Int32, _ name: String) throws -> Milliseconds {
        let value = try ask(socket, SOL_SOCKET, option, name, of: timeval.self)
        return Milliseconds(value.tv_sec) * 1000 + Milliseconds(value.tv_usec) / 1000
    }

    let buffers = (
        out: try number(SOL_SOCKET, SO_SNDBUF, "SO_SNDBUF"), in: try number(SOL_SOCKET, SO_RCVBUF, "SO_RCVBUF")
    )
    let isSharing = try isSet(SO_REUSEPORT, "SO_REUSEPORT")
    let isListening = try isSet(SO_ACCEPTCONN, "SO_ACCEPTCONN")

    let noDelay: Bool?
    switch Result(catching: { try number(IPPROTO_TCP, TCP_NODELAY, "TCP_NODELAY") }) {
    case .success(let value): noDelay = value != 0
    case .failure(let error as SocketError) where error.code == EOPNOTSUPP || error.code == ENOPROTOOPT: noDelay = nil
    case .failure(let error): throw error
    }

    let keepAlive: KeepAlive =
        try isSet(SO_KEEPALIVE, "SO_KEEPALIVE")
        ? .on(
            idle: try number(IPPROTO_TCP, TCP_KEEPIDLE, "TCP_KEEPIDLE"),
            interval: try number(IPPROTO_TCP, TCP_KEEPINTVL, "TCP_KEEPINTVL"),
            count: try number(IPPROTO_TCP, TCP_KEEPCNT, "TCP_KEEPCNT"))
        : .off

    let pair = try ask(socket, SOL_SOCKET, SO_LINGER, "SO_LINGER", of: linger.self)
    let flags = fcntl(socket, F_GETFL)
    if flags == -1 { throw SocketError("fcntl(F_GETFL)", errno) }

    return SocketState(
        sendBuffer: buffers.out,
        receiveBuffer: buffers.in,
        noDelay: noDelay,
        keepAlive: keepAlive,
        linger: pair.l_onoff != 0 ? .seconds(pair.l_linger) : .off,
        reusePort: isSharing,
        receiveTimeout: try time(SO_RCVTIMEO, "SO_RCVTIMEO"),
        sendTimeout: try time(SO_SNDTIMEO, "SO_SNDTIMEO"),
        isListening: isListening,
        isNonblocking: flags & O_NONBLOCK == O_NONBLOCK)
}

private func ask<Value>(_ socket: Int32, _ level: Int32, _ option: Int32, _ name: String, of: Value.Type) throws
    -> Value
{
    let room = UnsafeMutablePointer<Value>.allocate(capacity: 1)
    defer { room.deallocate() }
    memset(room, 0, MemoryLayout<Value>.size)
    var length = socklen_t(MemoryLayout<Value>.size)
    guard getsockopt(socket, level, option, room, &length) == 0 else { throw SocketError("getsockopt(\(name))", errno) }
    return room.pointee
}
