import Course
import Sockets

/// What the kernel says, not what it was told: Linux doubles a buffer's size, and keeps times in its own ticks.
func readOptions(_ socket: Int32) throws -> SocketState {
    let lingering: linger = try get(socket, SOL_SOCKET, SO_LINGER, "SO_LINGER", linger())
    let flags = try check("fcntl(F_GETFL)", fcntl(socket, F_GETFL))
    return SocketState(
        sendBuffer: try get(socket, SOL_SOCKET, SO_SNDBUF, "SO_SNDBUF", 0),
        receiveBuffer: try get(socket, SOL_SOCKET, SO_RCVBUF, "SO_RCVBUF", 0),
        noDelay: try readNoDelay(socket),
        keepAlive: try readKeepAlive(socket),
        // With l_onoff 0 the time means nothing.
        linger: lingering.l_onoff == 0 ? .off : .seconds(lingering.l_linger),
        reusePort: try isOn(socket, SOL_SOCKET, SO_REUSEPORT, "SO_REUSEPORT"),
        receiveTimeout: try get(socket, SOL_SOCKET, SO_RCVTIMEO, "SO_RCVTIMEO", timeval()).milliseconds,
        sendTimeout: try get(socket, SOL_SOCKET, SO_SNDTIMEO, "SO_SNDTIMEO", timeval()).milliseconds,
        isListening: try isOn(socket, SOL_SOCKET, SO_ACCEPTCONN, "SO_ACCEPTCONN"),
        // One bit among others.
        isNonblocking: flags & O_NONBLOCK != 0)
}

/// Only TCP has it: any other socket says that it knows no such option, and that is an answer.
private func readNoDelay(_ socket: Int32) throws -> Bool? {
    do {
        return try isOn(socket, IPPROTO_TCP, TCP_NODELAY, "TCP_NODELAY")
    } catch let error as SocketError where error.code == ENOPROTOOPT || error.code == EOPNOTSUPP {
        return nil
    }
}

private func readKeepAlive(_ socket: Int32) throws -> KeepAlive {
    // The timers have values even while nothing uses them, and on sockets that are not TCP there are none.
    guard try isOn(socket, SOL_SOCKET, SO_KEEPALIVE, "SO_KEEPALIVE") else { return .off }
    return .on(
        idle: try get(socket, IPPROTO_TCP, TCP_KEEPIDLE, "TCP_KEEPIDLE", 0),
        interval: try get(socket, IPPROTO_TCP, TCP_KEEPINTVL, "TCP_KEEPINTVL", 0),
        count: try get(socket, IPPROTO_TCP, TCP_KEEPCNT, "TCP_KEEPCNT", 0))
}

private func isOn(_ socket: Int32, _ level: Int32, _ option: Int32, _ name: String) throws -> Bool {
    // Any number but 0 is on: macOS says the option's own.
    try get(socket, level, option, name, 0 as Int32) != 0
}

/// Reads one option into a copy of `empty`, whose type is the option's.
private func get<OptionValue>(
    _ socket: Int32, _ level: Int32, _ option: Int32, _ name: String, _ empty: OptionValue
) throws -> OptionValue {
    var value = empty
    // In: how much room there is. Out: how much was written.
    var size = socklen_t(MemoryLayout<OptionValue>.size)
    let result = withUnsafeMutableBytes(of: &value) { getsockopt(socket, level, option, $0.baseAddress, &size) }
    try check("getsockopt(\(name))", result)
    return value
}

extension timeval {
    fileprivate var milliseconds: Milliseconds { Int(tv_sec) * 1000 }
}
