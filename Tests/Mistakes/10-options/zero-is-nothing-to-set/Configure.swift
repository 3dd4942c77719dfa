import Course
import Sockets

/// Sets one option of any type. The kernel is told the size of the value itself.
func set<OptionValue>(
    _ socket: Int32, _ level: Int32, _ option: Int32, _ name: String, to value: OptionValue
) throws {
    var copy = value
    let size = socklen_t(MemoryLayout<OptionValue>.size)
    guard setsockopt(socket, level, option, &copy, size) == 0 else {
        throw SocketError("setsockopt(\(name))", errno)
    }
}

/// The options of one socket, each under the type that a caller thinks in.
private struct Tuner {
    let socket: Int32

    func size(_ bytes: Int32?, _ option: Int32, _ name: String) throws {
        guard let bytes else { return }
        try set(socket, SOL_SOCKET, option, name, to: bytes)
    }

    func toggle(_ on: Bool?, level: Int32, _ option: Int32, _ name: String) throws {
        guard let on else { return }
        try set(socket, level, option, name, to: on ? 1 : 0 as Int32)
    }

    func time(_ limit: Milliseconds?, _ option: Int32, _ name: String) throws {
        guard let limit, limit > 0 else { return }
        let (seconds, rest) = limit.quotientAndRemainder(dividingBy: 1000)
        try set(socket, SOL_SOCKET, option, name, to: timeval(tv_sec: seconds, tv_usec: rest * 1000))
    }

    func keepAlive(_ wanted: KeepAlive?) throws {
        guard let wanted else { return }
        if case .on(let idle, let interval, let count) = wanted {
            try set(socket, IPPROTO_TCP, TCP_KEEPIDLE, "TCP_KEEPIDLE", to: idle)
            try set(socket, IPPROTO_TCP, TCP_KEEPINTVL, "TCP_KEEPINTVL", to: interval)
            try set(socket, IPPROTO_TCP, TCP_KEEPCNT, "TCP_KEEPCNT", to: count)
            try toggle(true, level: SOL_SOCKET, SO_KEEPALIVE, "SO_KEEPALIVE")
        } else {
            try toggle(false, level: SOL_SOCKET, SO_KEEPALIVE, "SO_KEEPALIVE")
        }
    }
}

func configure(_ socket: Int32, _ options: SocketOptions) throws {
    let tuner = Tuner(socket: socket)
    try tuner.size(options.sendBuffer, SO_SNDBUF, "SO_SNDBUF")
    try tuner.size(options.receiveBuffer, SO_RCVBUF, "SO_RCVBUF")
    try tuner.toggle(options.noDelay, level: IPPROTO_TCP, TCP_NODELAY, "TCP_NODELAY")
    try tuner.toggle(options.reusePort, level: SOL_SOCKET, SO_REUSEPORT, "SO_REUSEPORT")
    try tuner.keepAlive(options.keepAlive)
    if let wanted = options.linger {
        var pair = linger()
        if case .seconds(let seconds) = wanted { pair = linger(l_onoff: 1, l_linger: seconds) }
        try set(socket, SOL_SOCKET, SO_LINGER, "SO_LINGER", to: pair)
    }
    try tuner.time(options.receiveTimeout, SO_RCVTIMEO, "SO_RCVTIMEO")
    try tuner.time(options.sendTimeout, SO_SNDTIMEO, "SO_SNDTIMEO")
}
