import Course
import Sockets

/// An option and its value, as the kernel sees them: a level, a number, some bytes.
struct RawOption {
    var name: String
    var level: Int32
    var number: Int32
    var bytes: [UInt8]

    init<Content>(_ name: String, _ level: Int32, _ number: Int32, _ content: Content) {
        (self.name, self.level, self.number) = (name, level, number)
        bytes = withUnsafeBytes(of: content) { Array($0) }
    }

    func apply(to socket: Int32) throws {
        guard setsockopt(socket, level, number, bytes, socklen_t(bytes.count)) == 0 else {
            throw SocketError("setsockopt(\(name))", errno)
        }
    }
}

func configure(_ socket: Int32, _ options: SocketOptions) throws {
    for option in list(options) { try option.apply(to: socket) }
}

private func list(_ options: SocketOptions) -> [RawOption] {
    func bit(_ on: Bool) -> Int32 { on ? 1 : 0 }
    func time(_ milliseconds: Milliseconds) -> timeval {
        let (seconds, rest) = milliseconds.quotientAndRemainder(dividingBy: 1000)
        return timeval(tv_sec: seconds, tv_usec: rest * 1000)
    }
    var result: [RawOption] = []
    options.receiveTimeout.map { result.append(RawOption("SO_RCVTIMEO", SOL_SOCKET, SO_RCVTIMEO, time($0))) }
    options.sendTimeout.map { result.append(RawOption("SO_SNDTIMEO", SOL_SOCKET, SO_SNDTIMEO, time($0))) }
    options.linger.map {
        var value = linger(l_onoff: 0, l_linger: 0)
        if case .seconds(let seconds) = $0 { value = linger(l_onoff: 1, l_linger: seconds) }
        result.append(RawOption("SO_LINGER", SOL_SOCKET, SO_LINGER, value))
    }
    options.keepAlive.map {
        var on = false
        if case .on(let idle, let interval, let count) = $0 {
            on = true
            result.append(RawOption("TCP_KEEPIDLE", IPPROTO_TCP, TCP_KEEPIDLE, idle))
            result.append(RawOption("TCP_KEEPINTVL", IPPROTO_TCP, TCP_KEEPINTVL, interval))
            result.append(RawOption("TCP_KEEPCNT", IPPROTO_TCP, TCP_KEEPCNT, count))
        }
        result.append(RawOption("SO_KEEPALIVE", SOL_SOCKET, SO_KEEPALIVE, bit(on)))
    }
    options.noDelay.map { result.append(RawOption("TCP_NODELAY", IPPROTO_TCP, TCP_NODELAY, bit($0))) }
    options.reusePort.map { result.append(RawOption("SO_REUSEPORT", SOL_SOCKET, SO_REUSEPORT, bit($0))) }
    options.sendBuffer.map { result.append(RawOption("SO_SNDBUF", SOL_SOCKET, SO_SNDBUF, $0)) }
    options.receiveBuffer.map { result.append(RawOption("SO_RCVBUF", SOL_SOCKET, SO_RCVBUF, $0)) }
    return result
}
