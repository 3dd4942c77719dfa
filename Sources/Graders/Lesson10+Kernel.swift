// What the kernel itself says of a socket: the other opinion, which a student's function is compared with. The socket is the
// grader's own, and the program has a copy of its descriptor, so both see the same options and flags.
import Course
import GraderKit
import Sockets

/// An option as the kernel knows it, and its name.
struct KernelOption: Equatable {
    let name: String
    let level: Int32
    let number: Int32

    static let sendBuffer = KernelOption(name: "SO_SNDBUF", level: SOL_SOCKET, number: SO_SNDBUF)
    static let receiveBuffer = KernelOption(name: "SO_RCVBUF", level: SOL_SOCKET, number: SO_RCVBUF)
    static let reusePort = KernelOption(name: "SO_REUSEPORT", level: SOL_SOCKET, number: SO_REUSEPORT)
    static let keepAlive = KernelOption(name: "SO_KEEPALIVE", level: SOL_SOCKET, number: SO_KEEPALIVE)
    static let linger = KernelOption(name: "SO_LINGER", level: SOL_SOCKET, number: SO_LINGER)
    static let receiveTimeout = KernelOption(name: "SO_RCVTIMEO", level: SOL_SOCKET, number: SO_RCVTIMEO)
    static let sendTimeout = KernelOption(name: "SO_SNDTIMEO", level: SOL_SOCKET, number: SO_SNDTIMEO)
    static let listening = KernelOption(name: "SO_ACCEPTCONN", level: SOL_SOCKET, number: SO_ACCEPTCONN)
    static let noDelay = KernelOption(name: "TCP_NODELAY", level: IPPROTO_TCP, number: TCP_NODELAY)
    static let keepIdle = KernelOption(name: "TCP_KEEPIDLE", level: IPPROTO_TCP, number: TCP_KEEPIDLE)
    static let keepInterval = KernelOption(name: "TCP_KEEPINTVL", level: IPPROTO_TCP, number: TCP_KEEPINTVL)
    static let keepCount = KernelOption(name: "TCP_KEEPCNT", level: IPPROTO_TCP, number: TCP_KEEPCNT)

    /// Those that the lesson is about.
    static let all: [KernelOption] = [
        .sendBuffer, .receiveBuffer, .reusePort, .keepAlive, .linger, .receiveTimeout, .sendTimeout, .listening,
        .noDelay,
        .keepIdle, .keepInterval, .keepCount,
    ]

    func set<Content>(_ value: Content, on socket: Int32) throws {
        let result = withUnsafeBytes(of: value) {
            setsockopt(socket, level, number, $0.baseAddress, socklen_t($0.count))
        }
        try check("setsockopt(\(name))", result)
    }

    func get<Content>(_ empty: Content, of socket: Int32) throws -> Content {
        var value = empty
        var size = socklen_t(MemoryLayout<Content>.size)
        let result = withUnsafeMutableBytes(of: &value) {
            getsockopt(socket, level, number, $0.baseAddress, &size)
        }
        try check("getsockopt(\(name))", result)
        return value
    }
}

extension SocketOptions {
    /// The grader's own way to set them.
    func apply(to socket: Int32) throws {
        func flag(_ option: KernelOption, _ on: Bool?) throws {
            if let on { try option.set(on ? 1 as Int32 : 0, on: socket) }
        }
        func time(_ option: KernelOption, _ milliseconds: Milliseconds?) throws {
            guard let milliseconds else { return }
            var time = timeval()
            time.tv_sec = milliseconds / 1000
            time.tv_usec = .init(milliseconds % 1000 * 1000)
            try option.set(time, on: socket)
        }
        if let sendBuffer { try KernelOption.sendBuffer.set(sendBuffer, on: socket) }
        if let receiveBuffer { try KernelOption.receiveBuffer.set(receiveBuffer, on: socket) }
        try flag(.noDelay, noDelay)
        try flag(.reusePort, reusePort)
        if case .on(let idle, let interval, let count)? = keepAlive {
            try KernelOption.keepIdle.set(idle, on: socket)
            try KernelOption.keepInterval.set(interval, on: socket)
            try KernelOption.keepCount.set(count, on: socket)
        }
        try flag(.keepAlive, keepAlive.map { $0 != .off })
        if let linger {
            var pair = Sockets.linger()
            if case .seconds(let seconds) = linger { pair = Sockets.linger(l_onoff: 1, l_linger: seconds) }
            try KernelOption.linger.set(pair, on: socket)
        }
        try time(.receiveTimeout, receiveTimeout)
        try time(.sendTimeout, sendTimeout)
    }
}

extension SocketState {
    /// The grader's own way to read it.
    init(of socket: Int32) throws {
        func number(_ option: KernelOption) throws -> Int32 { try option.get(0, of: socket) }
        func time(_ option: KernelOption) throws -> Milliseconds {
            let time = try option.get(timeval(), of: socket)
            return Int(time.tv_sec) * 1000 + Int(time.tv_usec) / 1000
        }
        let pair = try KernelOption.linger.get(Sockets.linger(), of: socket)
        var noDelay: Bool?
        do { noDelay = try number(.noDelay) != 0 } catch let error as SocketError
            where [ENOPROTOOPT, EOPNOTSUPP].contains(error.code)
        { noDelay = nil }
        var keepAlive = KeepAlive.off
        if try number(.keepAlive) != 0 {
            keepAlive = .on(
                idle: try number(.keepIdle), interval: try number(.keepInterval), count: try number(.keepCount))
        }
        self.init(
            sendBuffer: try number(.sendBuffer), receiveBuffer: try number(.receiveBuffer), noDelay: noDelay,
            keepAlive: keepAlive, linger: pair.l_onoff == 0 ? .off : .seconds(pair.l_linger),
            reusePort: try number(.reusePort) != 0, receiveTimeout: try time(.receiveTimeout),
            sendTimeout: try time(.sendTimeout), isListening: try number(.listening) != 0,
            isNonblocking: try check("fcntl", fcntl(socket, F_GETFL)) & O_NONBLOCK != 0)
    }

    /// Each field under the name of its option, as a person reads it.
    var fields: [(name: String, text: String)] {
        func flag(_ on: Bool) -> String { on ? say("on", "开") : say("off", "关") }
        func time(_ milliseconds: Milliseconds) -> String {
            milliseconds == 0 ? say("0 (for ever)", "0（一直等）") : "\(milliseconds) ms"
        }
        return [
            ("SO_SNDBUF", "\(sendBuffer)"), ("SO_RCVBUF", "\(receiveBuffer)"),
            ("TCP_NODELAY", noDelay.map(flag) ?? say("none (nil)", "没有（nil）")), ("SO_KEEPALIVE", keepAlive.text),
            ("SO_LINGER", linger.text), ("SO_REUSEPORT", flag(reusePort)), ("SO_RCVTIMEO", time(receiveTimeout)),
            ("SO_SNDTIMEO", time(sendTimeout)), ("SO_ACCEPTCONN", flag(isListening)),
            ("O_NONBLOCK", flag(isNonblocking)),
        ]
    }

    /// What is different, each field by its option's name.
    func differences(from right: SocketState) -> [(name: String, right: String, got: String)] {
        zip(right.fields, fields).filter { $0.text != $1.text }.map { ($0.name, $0.text, $1.text) }
    }
}

extension KeepAlive {
    fileprivate var text: String {
        switch self {
        case .off: say("off", "关")
        case .on(let idle, let interval, let count):
            say(
                "on, after \(idle) s every \(interval) s, \(count) times", "开，\(idle) 秒后每 \(interval) 秒一次，共 \(count) 次")
        }
    }
}

extension Linger {
    fileprivate var text: String {
        switch self {
        case .off: say("off", "关")
        case .seconds(let seconds): say("on, \(seconds) s", "开，\(seconds) 秒")
        }
    }
}
