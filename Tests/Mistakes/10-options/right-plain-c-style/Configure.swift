import Course
import Sockets

func configure(_ socket: Int32, _ options: SocketOptions) throws {
    if let size = options.sendBuffer { try put(socket, SOL_SOCKET, SO_SNDBUF, size, "SO_SNDBUF") }
    if let size = options.receiveBuffer { try put(socket, SOL_SOCKET, SO_RCVBUF, size, "SO_RCVBUF") }
    if let on = options.reusePort { try put(socket, SOL_SOCKET, SO_REUSEPORT, on ? 1 : 0, "SO_REUSEPORT") }
    if let on = options.noDelay { try put(socket, IPPROTO_TCP, TCP_NODELAY, on ? 1 : 0, "TCP_NODELAY") }
    if let keepAlive = options.keepAlive {
        switch keepAlive {
        case .off:
            try put(socket, SOL_SOCKET, SO_KEEPALIVE, 0, "SO_KEEPALIVE")
        case .on(let idle, let interval, let count):
            try put(socket, SOL_SOCKET, SO_KEEPALIVE, 1, "SO_KEEPALIVE")
            try put(socket, IPPROTO_TCP, TCP_KEEPIDLE, idle, "TCP_KEEPIDLE")
            try put(socket, IPPROTO_TCP, TCP_KEEPINTVL, interval, "TCP_KEEPINTVL")
            try put(socket, IPPROTO_TCP, TCP_KEEPCNT, count, "TCP_KEEPCNT")
        }
    }
    if let wanted = options.linger {
        var pair = linger(l_onoff: 0, l_linger: 0)
        if case .seconds(let seconds) = wanted { pair = linger(l_onoff: 1, l_linger: seconds) }
        try check(
            "setsockopt(SO_LINGER)",
            setsockopt(socket, SOL_SOCKET, SO_LINGER, &pair, socklen_t(MemoryLayout<linger>.size)))
    }
    if let time = options.receiveTimeout { try putTime(socket, SO_RCVTIMEO, time, "SO_RCVTIMEO") }
    if let time = options.sendTimeout { try putTime(socket, SO_SNDTIMEO, time, "SO_SNDTIMEO") }
}

private func put(_ socket: Int32, _ level: Int32, _ option: Int32, _ number: Int32, _ name: String) throws {
    var value = number
    try check("setsockopt(\(name))", setsockopt(socket, level, option, &value, socklen_t(MemoryLayout<Int32>.size)))
}

private func putTime(_ socket: Int32, _ option: Int32, _ milliseconds: Milliseconds, _ name: String) throws {
    var time = timeval(tv_sec: milliseconds / 1000, tv_usec: (milliseconds % 1000) * 1000)
    try check(
        "setsockopt(\(name))", setsockopt(socket, SOL_SOCKET, option, &time, socklen_t(MemoryLayout<timeval>.size)))
}

func set<OptionValue>(
    _ socket: Int32, _ level: Int32, _ option: Int32, _ name: String, to value: OptionValue
) throws {
    let result = withUnsafeBytes(of: value) { setsockopt(socket, level, option, $0.baseAddress, socklen_t($0.count)) }
    try check("setsockopt(\(name))", result)
}
