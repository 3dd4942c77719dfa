import Course
import Sockets

// A table of what can be set: each row knows where its value is in SocketOptions, and what calls it takes to set it.

private struct Step {
    let name: String
    let level: Int32
    let option: Int32
    let value: ContiguousArray<UInt8>
}

private struct Row {
    let name: String
    let level: Int32
    let option: Int32
    let steps: (Row, SocketOptions) -> [Step]

    func step(_ bytes: ContiguousArray<UInt8>) -> Step { Step(name: name, level: level, option: option, value: bytes) }
}

private func bytes<Value>(_ value: Value) -> ContiguousArray<UInt8> { withUnsafeBytes(of: value) { .init($0) } }

private func row<Value>(
    _ name: String, _ level: Int32, _ option: Int32, _ path: KeyPath<SocketOptions, Value?>,
    _ encode: @escaping (Value) -> ContiguousArray<UInt8>
) -> Row {
    Row(name: name, level: level, option: option) { row, options in
        options[keyPath: path].map { [row.step(encode($0))] } ?? []
    }
}

private func encodeSwitch(_ on: Bool) -> ContiguousArray<UInt8> { bytes(CInt(on ? 1 : 0)) }

private func encodeTime(_ time: Milliseconds) -> ContiguousArray<UInt8> {
    var value = timeval()
    value.tv_sec = time / 1_000
    value.tv_usec = (time - value.tv_sec * 1_000) * 1_000
    return bytes(value)
}

private func encodeLinger(_ value: Linger) -> ContiguousArray<UInt8> {
    switch value {
    case .off: return bytes(linger(l_onoff: 0, l_linger: 0))
    case .seconds(let seconds): return bytes(linger(l_onoff: 1, l_linger: seconds))
    }
}

/// The switch first and then the timers: they count anew when they are set.
private func stepsOfKeepAlive(_ row: Row, _ options: SocketOptions) -> [Step] {
    guard let keepAlive = options.keepAlive else { return [] }
    guard case .on(let idle, let interval, let count) = keepAlive else { return [row.step(encodeSwitch(false))] }
    let timers = [
        ("TCP_KEEPIDLE", TCP_KEEPIDLE, CInt(idle)), ("TCP_KEEPINTVL", TCP_KEEPINTVL, CInt(interval)),
        ("TCP_KEEPCNT", TCP_KEEPCNT, CInt(count)),
    ]
    return [row.step(encodeSwitch(true))]
        + timers.map { Step(name: $0.0, level: Int32(IPPROTO_TCP), option: $0.1, value: bytes($0.2)) }
}

private let table: [Row] = [
    row("SO_RCVTIMEO", SOL_SOCKET, SO_RCVTIMEO, \.receiveTimeout, encodeTime),
    row("SO_SNDTIMEO", SOL_SOCKET, SO_SNDTIMEO, \.sendTimeout, encodeTime),
    row("SO_LINGER", SOL_SOCKET, SO_LINGER, \.linger, encodeLinger),
    row("TCP_NODELAY", Int32(IPPROTO_TCP), TCP_NODELAY, \.noDelay, encodeSwitch),
    row("SO_REUSEPORT", SOL_SOCKET, SO_REUSEPORT, \.reusePort, encodeSwitch),
    row("SO_RCVBUF", SOL_SOCKET, SO_RCVBUF, \.receiveBuffer) { bytes($0) },
    row("SO_SNDBUF", SOL_SOCKET, SO_SNDBUF, \.sendBuffer) { bytes($0) },
    Row(name: "SO_KEEPALIVE", level: SOL_SOCKET, option: SO_KEEPALIVE, steps: stepsOfKeepAlive),
]

func configure(_ socket: Int32, _ options: SocketOptions) throws {
    try table.flatMap { $0.steps($0, options) }.forEach { step in
        try step.value.withUnsafeBytes {
            try setOrThrow(socket, step.level, step.option, step.name, $0)
        }
    }
}

private func setOrThrow(
    _ socket: Int32, _ level: Int32, _ option: Int32, _ name: String, _ value: UnsafeRawBufferPointer
) throws {
    if setsockopt(socket, level, option, value.baseAddress, socklen_t(value.count)) == -1 {
        let code = errno
        throw SocketError("setsockopt(" + name + ")", code)
    }
}

/// For the servers of this lesson.
func set<OptionValue>(
    _ socket: Int32, _ level: Int32, _ option: Int32, _ name: String, to value: OptionValue
) throws {
    try withUnsafeBytes(of: value) { try setOrThrow(socket, level, option, name, $0) }
}
