import Course
import Sockets

/// An option is three things: a level (whose option is it?), a name, and the type of its value. The first and the last are
/// where mistakes are made: the kernel sees a number and some bytes.
func configure(_ socket: Int32, _ options: SocketOptions) throws {
    if let size = options.sendBuffer { try set(socket, SOL_SOCKET, SO_SNDBUF, "SO_SNDBUF", to: size) }
    if let size = options.receiveBuffer { try set(socket, SOL_SOCKET, SO_RCVBUF, "SO_RCVBUF", to: size) }
    if let on = options.reusePort { try set(socket, SOL_SOCKET, SO_REUSEPORT, "SO_REUSEPORT", to: number(on)) }
    if let on = options.noDelay { try set(socket, IPPROTO_TCP, TCP_NODELAY, "TCP_NODELAY", to: number(on)) }

    switch options.keepAlive {
    case .on(let idle, let interval, let count)?:
        // The timers first: when keep-alive is turned on, it begins to count with them.
        try set(socket, IPPROTO_TCP, TCP_KEEPIDLE, "TCP_KEEPIDLE", to: idle)
        try set(socket, IPPROTO_TCP, TCP_KEEPINTVL, "TCP_KEEPINTVL", to: interval)
        try set(socket, IPPROTO_TCP, TCP_KEEPCNT, "TCP_KEEPCNT", to: count)
        // The timers alone do nothing.
        try set(socket, SOL_SOCKET, SO_KEEPALIVE, "SO_KEEPALIVE", to: number(true))
    case .off?: try set(socket, SOL_SOCKET, SO_KEEPALIVE, "SO_KEEPALIVE", to: number(false))
    case nil: break
    }

    switch options.linger {
    case .seconds(let seconds)?:
        try set(socket, SOL_SOCKET, SO_LINGER, "SO_LINGER", to: linger(l_onoff: seconds > 0 ? 1 : 0, l_linger: seconds))
    case .off?: try set(socket, SOL_SOCKET, SO_LINGER, "SO_LINGER", to: linger(l_onoff: 0, l_linger: 0))
    case nil: break
    }

    if let time = options.receiveTimeout {
        try set(socket, SOL_SOCKET, SO_RCVTIMEO, "SO_RCVTIMEO", to: timeval(milliseconds: time))
    }
    if let time = options.sendTimeout {
        try set(socket, SOL_SOCKET, SO_SNDTIMEO, "SO_SNDTIMEO", to: timeval(milliseconds: time))
    }
}

/// Sets one option; the size that goes along is the size of the value, whatever its type is.
func set<OptionValue>(
    _ socket: Int32, _ level: Int32, _ option: Int32, _ name: String, to value: OptionValue
) throws {
    let result = withUnsafeBytes(of: value) {
        setsockopt(socket, level, option, $0.baseAddress, socklen_t($0.count))
    }
    try check("setsockopt(\(name))", result)
}

/// C has no Bool: on is 1, in the size of an int.
private func number(_ on: Bool) -> Int32 { on ? 1 : 0 }

extension timeval {
    /// The kernel refuses a million microseconds (EDOM): they are seconds.
    init(milliseconds: Milliseconds) {
        self.init(tv_sec: milliseconds / 1000, tv_usec: .init(milliseconds % 1000 * 1000))
    }
}
