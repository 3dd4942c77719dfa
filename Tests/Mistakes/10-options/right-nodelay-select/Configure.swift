import Course
import Sockets

func configure(_ socket: Int32, _ options: SocketOptions) throws {
    let setter = Setter(socket: socket)
    try setter.number("SO_SNDBUF", SOL_SOCKET, SO_SNDBUF, options.sendBuffer)
    try setter.number("SO_RCVBUF", SOL_SOCKET, SO_RCVBUF, options.receiveBuffer)
    try setter.flag("TCP_NODELAY", IPPROTO_TCP, TCP_NODELAY, options.noDelay)
    try setter.flag("SO_REUSEPORT", SOL_SOCKET, SO_REUSEPORT, options.reusePort)
    if let keepAlive = options.keepAlive {
        if case .on(let idle, let interval, let count) = keepAlive {
            try setter.flag("SO_KEEPALIVE", SOL_SOCKET, SO_KEEPALIVE, true)
            try setter.number("TCP_KEEPIDLE", IPPROTO_TCP, TCP_KEEPIDLE, idle)
            try setter.number("TCP_KEEPINTVL", IPPROTO_TCP, TCP_KEEPINTVL, interval)
            try setter.number("TCP_KEEPCNT", IPPROTO_TCP, TCP_KEEPCNT, count)
        } else {
            try setter.flag("SO_KEEPALIVE", SOL_SOCKET, SO_KEEPALIVE, false)
        }
    }
    if let value = options.linger { try setter.linger(value) }
    try setter.time("SO_RCVTIMEO", SO_RCVTIMEO, options.receiveTimeout)
    try setter.time("SO_SNDTIMEO", SO_SNDTIMEO, options.sendTimeout)
}

/// Nil is nothing to do.
struct Setter {
    let socket: Int32

    private func report(_ name: String, _ result: Int32) throws {
        if result != 0 { throw SocketError("setsockopt(\(name))", errno) }
    }

    func number(_ name: String, _ level: Int32, _ option: Int32, _ value: Int32?) throws {
        guard var value else { return }
        try report(name, setsockopt(socket, level, option, &value, 4))
    }

    func flag(_ name: String, _ level: Int32, _ option: Int32, _ on: Bool?) throws {
        try number(name, level, option, on.map { $0 ? 1 : 0 })
    }

    func time(_ name: String, _ option: Int32, _ milliseconds: Milliseconds?) throws {
        guard let milliseconds else { return }
        var value = timeval()
        value.tv_sec = milliseconds / 1000
        value.tv_usec = (milliseconds - value.tv_sec * 1000) * 1000
        try report(name, setsockopt(socket, SOL_SOCKET, option, &value, socklen_t(MemoryLayout<timeval>.size)))
    }

    func linger(_ value: Linger) throws {
        var pair: (Int32, Int32) = (0, 0)
        if case .seconds(let seconds) = value { pair = (1, seconds) }
        try report("SO_LINGER", setsockopt(socket, SOL_SOCKET, SO_LINGER, &pair, 8))
    }
}
