// configure and read-options: a student's function and the kernel's own word, compared field by field.
import Course
import GraderKit
import Sockets
import Wire

// MARK: configure

let configureChecks: [Check] = [
    Check("configure-buffers", suspects: Cause.settingOptions) { trial in
        try trial.expectConfigured(SocketOptions(sendBuffer: 20_000))
        try trial.expectConfigured(SocketOptions(sendBuffer: 30_000, receiveBuffer: 50_000))
    },
    Check("configure-nodelay", suspects: Cause.settingOptions) { trial in
        try trial.expectConfigured(SocketOptions(noDelay: true))
        try trial.expectConfigured(SocketOptions(noDelay: false), after: SocketOptions(noDelay: true))
    },
    Check("configure-keep-alive", suspects: Cause.settingOptions + [.timersAlone]) { trial in
        try trial.expectConfigured(SocketOptions(keepAlive: .on(idle: 60, interval: 7, count: 4)))
        try trial.expectConfigured(
            SocketOptions(keepAlive: .off), after: SocketOptions(keepAlive: .on(idle: 60, interval: 7, count: 4)))
    },
    Check("configure-linger", suspects: Cause.settingOptions) { trial in
        try trial.expectConfigured(SocketOptions(linger: .seconds(5)))
        try trial.expectConfigured(SocketOptions(linger: .seconds(0)))
        try trial.expectConfigured(SocketOptions(linger: .off), after: SocketOptions(linger: .seconds(5)))
    },
    Check("configure-reuse-port", suspects: Cause.settingOptions) { trial in
        try trial.expectConfigured(SocketOptions(reusePort: true))
        try trial.expectConfigured(SocketOptions(reusePort: false), after: SocketOptions(reusePort: true))
    },
    Check("configure-timeouts", suspects: [.timeInWrongUnits] + Cause.settingOptions) { trial in
        try trial.expectConfigured(SocketOptions(receiveTimeout: 1500, sendTimeout: 200))
        try trial.expectConfigured(
            SocketOptions(receiveTimeout: 0, sendTimeout: 0),
            after: SocketOptions(receiveTimeout: 900, sendTimeout: 900))
        try trial.expectConfigured(SocketOptions(receiveTimeout: 4000, sendTimeout: 12_250))
    },
    Check("configure-nothing-else", suspects: Cause.settingOptions) { trial in
        let before = SocketOptions(
            sendBuffer: 20_000, receiveBuffer: 30_000, noDelay: true, keepAlive: .on(idle: 60, interval: 7, count: 4),
            linger: .seconds(3), reusePort: true, receiveTimeout: 1500, sendTimeout: 1500)
        try trial.expectConfigured(SocketOptions(), after: before)
        try trial.expectConfigured(SocketOptions(noDelay: false), after: before)
    },
    Check("configure-error", suspects: Cause.settingOptions) { trial in
        let datagram = try OwnedSocket(AF_INET, SOCK_DGRAM)
        try trial.expectRefused(
            "configure", [.passed(datagram.descriptor), SocketOptions(noDelay: true).value], .noDelay,
            asked: SocketOptions(noDelay: true).names,
            code: try kernelsRefusal { try SocketOptions(noDelay: true).apply(to: datagram.descriptor) },
            say("a UDP socket", "UDP 套接字"))
        let stream = try OwnedSocket(AF_INET, SOCK_STREAM)
        let never = SocketOptions(keepAlive: .on(idle: 60, interval: 7, count: 0))
        try trial.expectRefused(
            "configure", [.passed(stream.descriptor), never.value], .keepCount, asked: never.names,
            code: try kernelsRefusal { try KernelOption.keepCount.set(0 as Int32, on: stream.descriptor) },
            say("a count of 0", "次数为 0"))
        try trial.withFile { file in
            try trial.expectRefused(
                "configure", [.passed(file), SocketOptions(linger: .seconds(1)).value], .linger,
                asked: SocketOptions(linger: .seconds(1)).names, code: ENOTSOCK, say("a file", "文件"))
        }
    },
]

extension Trial {
    /// Calls `configure` on a TCP socket, which is then as one that the grader has set in the same way.
    ///
    /// - Parameter before: what the socket was set to before that.
    fileprivate func expectConfigured(_ options: SocketOptions, after before: SocketOptions = SocketOptions()) throws {
        let (socket, twin) = (try OwnedSocket(AF_INET, SOCK_STREAM), try OwnedSocket(AF_INET, SOCK_STREAM))
        for each in [socket, twin] { try before.apply(to: each.descriptor) }
        try options.apply(to: twin.descriptor)
        let right = try SocketState(of: twin.descriptor)
        let call = try begin("configure", [.passed(socket.descriptor), options.value], plan: FaultPlan.none)
        _ = try call.value(expecting: say("configure sets \(options.text)", "configure 设置（\(options.text)）"))
        let got = try SocketState(of: socket.descriptor)
        if let wrong = got.differences(from: right).first {
            throw Failure(
                expected: say(
                    "after configure with \(options.text), getsockopt(\(wrong.name)) says: \(wrong.right)",
                    "configure 设置（\(options.text)）之后，getsockopt(\(wrong.name)) 得到：\(wrong.right)"),
                got: wrong.got,
                cause: !options.names.contains(wrong.name)
                    ? "sets-what-was-not-asked"
                    : wrong.name == "SO_LINGER" && got.linger == .off
                        ? "linger-zero-taken-for-off"
                        : wrong.name == "SO_KEEPALIVE" && areSwapped(got.keepAlive, right.keepAlive)
                            ? "timers-swapped"
                            : options.hasZero(wrong.name) && call.leavesOut(wrong.name) ? "zero-left-out" : nil)
        }
        let calls = call.subject.timeline.calls("setsockopt")
        if let extra = calls.first(where: { !options.names.contains(KernelOption.name(of: $0) ?? "") }) {
            throw Failure(
                expected: say("no option but \(options.text) is set", "除了（\(options.text)），不设置别的选项"),
                got: extra.text(now: 0), cause: "sets-what-was-not-asked")
        }
    }

    /// The function throws what the kernel says, and which option it was.
    ///
    /// - Parameter asked: the options that `configure` is to set.
    fileprivate func expectRefused(
        _ entry: String, _ arguments: [Value], _ option: KernelOption?, asked: [String] = [], code: Int32,
        _ what: String
    ) throws {
        let name = option?.name ?? say("an option's name", "选项名")
        let expected = say(
            "\(entry) of \(what) throws SocketError \(errorName(code)), with \(name) in its call",
            "\(what)：\(entry) 抛出 SocketError \(errorName(code))，call 里带有 \(name)")
        let pending = try begin(entry, arguments, plan: FaultPlan.none)
        let outcome = try pending.outcome(expecting: expected)
        guard case .threw("SocketError", let call, code, _) = outcome else {
            throw Failure(expected: expected, got: outcome.text, cause: pending.ignoredRefusal(outcome))
        }
        // Whichever it asks first: that may be one which is not among those that it returns, such as SO_PROTOCOL.
        let isNamed = call.split { !$0.isLetter && $0 != "_" }.contains { $0.hasPrefix("SO_") || $0.hasPrefix("TCP_") }
        guard option.map({ call.contains($0.name) }) ?? isNamed else {
            // Another name than the right one is not the same mistake: what was refused stands beside it.
            pending.subject.catchUp()
            let isUnasked = pending.subject.timeline.calls("setsockopt").contains {
                $0.failed && !asked.contains(KernelOption.name(of: $0) ?? "")
            }
            throw Failure(
                expected: expected, got: outcome.text,
                cause: !isNamed
                    ? "error-without-name" : isUnasked ? "sets-what-was-not-asked" : "another-option-refused")
        }
    }

    fileprivate func withFile(_ body: (Int32) throws -> Void) throws {
        let file = open("/dev/null", O_RDONLY | O_CLOEXEC)
        try check("open", file)
        defer { close(file) }
        try body(file)
    }
}

/// The right numbers, at other places.
private func areSwapped(_ got: KeepAlive, _ right: KeepAlive) -> Bool {
    guard case .on(let idle, let interval, let count) = got,
        case .on(let rightIdle, let rightInterval, let rightCount) = right
    else { return false }
    return got != right && [idle, interval, count].sorted() == [rightIdle, rightInterval, rightCount].sorted()
}

extension PendingCall {
    /// It returned, though the kernel had refused what it asked.
    func ignoredRefusal(_ outcome: Outcome) -> String? {
        guard case .returned = outcome else { return nil }
        subject.catchUp()
        let refused = subject.timeline.calls("setsockopt", "getsockopt").contains(where: \.failed)
        return refused ? "option-refusal-ignored" : nil
    }
}

/// The errno with which the kernel refuses.
private func kernelsRefusal(_ body: () throws -> Void) throws -> Int32 {
    do { try body() } catch let error as SocketError { return error.code }
    throw Unavailable(say("this kernel accepts what others refuse", "这个内核接受了别的内核会拒绝的设置"))
}

extension KernelOption {
    /// `SO_LINGER`; nil if the lesson does not know it.
    static func name(of call: Call) -> String? {
        all.first { call.arguments == (Int64($0.level), Int64($0.number)) }?.name
    }
}

extension SocketOptions {
    /// The options that are asked for.
    fileprivate var names: [String] {
        var names: [String] = []
        if sendBuffer != nil { names.append("SO_SNDBUF") }
        if receiveBuffer != nil { names.append("SO_RCVBUF") }
        if noDelay != nil { names.append("TCP_NODELAY") }
        if let keepAlive {
            names.append("SO_KEEPALIVE")
            if keepAlive != .off { names += ["TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT"] }
        }
        if linger != nil { names.append("SO_LINGER") }
        if reusePort != nil { names.append("SO_REUSEPORT") }
        if receiveTimeout != nil { names.append("SO_RCVTIMEO") }
        if sendTimeout != nil { names.append("SO_SNDTIMEO") }
        return names
    }

    fileprivate var text: String {
        var parts: [String] = []
        if let sendBuffer { parts.append("sendBuffer \(sendBuffer)") }
        if let receiveBuffer { parts.append("receiveBuffer \(receiveBuffer)") }
        if let noDelay { parts.append("noDelay \(noDelay)") }
        if let keepAlive { parts.append("keepAlive .\(keepAlive)") }
        if let linger { parts.append("linger .\(linger)") }
        if let reusePort { parts.append("reusePort \(reusePort)") }
        if let receiveTimeout { parts.append("receiveTimeout \(receiveTimeout)") }
        if let sendTimeout { parts.append("sendTimeout \(sendTimeout)") }
        return parts.isEmpty ? say("nothing", "无") : parts.joined(separator: say(", ", "、"))
    }
}

// MARK: read-options

let readOptionsChecks: [Check] = [
    Check("read-buffers", suspects: Cause.readingOptions) { trial in
        let socket = try OwnedSocket(AF_INET, SOCK_STREAM)
        try trial.expectRead(socket, say("a new TCP socket", "新的 TCP 套接字"))
        try SocketOptions(sendBuffer: 20_000, receiveBuffer: 30_000).apply(to: socket.descriptor)
        try trial.expectRead(
            socket, say("a socket that was told 20,000 and 30,000", "设置过 20,000 和 30,000 的套接字"))
    },
    Check("read-nodelay", suspects: Cause.readingOptions) { trial in
        for on in [false, true] {
            let socket = try OwnedSocket(AF_INET6, SOCK_STREAM, or: AF_INET)
            try SocketOptions(noDelay: on, reusePort: on).apply(to: socket.descriptor)
            try trial.expectRead(
                socket,
                on
                    ? say("a socket with TCP_NODELAY and SO_REUSEPORT", "设置了 TCP_NODELAY 和 SO_REUSEPORT 的套接字")
                    : say("a socket without either", "两者都没有设置的套接字"))
        }
    },
    Check("read-keep-alive", suspects: Cause.readingOptions) { trial in
        let timers = KeepAlive.on(idle: 90, interval: 11, count: 5)
        let socket = try OwnedSocket(AF_INET, SOCK_STREAM)
        try SocketOptions(keepAlive: timers).apply(to: socket.descriptor)
        try trial.expectRead(socket, say("a socket with keep-alive", "开了 keep-alive 的套接字"))
        try SocketOptions(keepAlive: .off).apply(to: socket.descriptor)
        try trial.expectRead(
            socket, say("a socket whose keep-alive was turned off", "关了 keep-alive 的套接字"))
    },
    Check("read-linger", suspects: Cause.readingOptions) { trial in
        let socket = try OwnedSocket(AF_INET, SOCK_STREAM)
        for seconds in [9, 0, 7] as [Int32] {
            try SocketOptions(linger: .seconds(seconds)).apply(to: socket.descriptor)
            try trial.expectRead(socket, say("a socket that lingers \(seconds) s", "SO_LINGER 为 \(seconds) 秒的套接字"))
        }
        // Linux keeps the time: {0, 7}.
        try SocketOptions(linger: .off).apply(to: socket.descriptor)
        try trial.expectRead(
            socket, say("a socket whose lingering was turned off", "关了 SO_LINGER 的套接字"))
    },
    Check("read-timeouts", suspects: Cause.readingOptions) { trial in
        let socket = try OwnedSocket(AF_INET, SOCK_STREAM)
        for (receive, send) in [(1500, 200), (0, 61_000)] {
            try SocketOptions(receiveTimeout: receive, sendTimeout: send).apply(to: socket.descriptor)
            try trial.expectRead(
                socket, say("a socket with timeouts of \(receive) and \(send) ms", "时限为 \(receive) 和 \(send) 毫秒的套接字"))
        }
    }.explained(first: [.wrongValueType]),
    Check("read-flags", suspects: Cause.readingOptions) { trial in
        let listener = try OwnedSocket(AF_INET, SOCK_STREAM)
        let any = try SocketAddress(host: "127.0.0.1", port: 0)
        try check("bind", any.withSockaddr { bind(listener.descriptor, $0, $1) })
        try trial.expectRead(listener, say("a bound socket", "绑定了的套接字"))
        try check("listen", listen(listener.descriptor, 1))
        try trial.expectRead(listener, say("a listening socket", "监听套接字"))
        // In one process, so that each has another number there.
        let process = try trial.launch()
        for flags in [O_NONBLOCK, O_NONBLOCK | O_APPEND, O_APPEND] {
            let socket = try OwnedSocket(AF_INET, SOCK_STREAM)
            try check("fcntl", fcntl(socket.descriptor, F_SETFL, flags))
            try trial.expectRead(
                socket, say("a socket with \(flagText(flags))", "带有 \(flagText(flags)) 的套接字"), in: process)
        }
    },
    Check("read-not-tcp", suspects: Cause.readingOptions) { trial in
        let datagram = try OwnedSocket(AF_INET, SOCK_DGRAM)
        try trial.expectRead(datagram, say("a UDP socket", "UDP 套接字"))
        // Linux refuses with another errno there.
        let datagram6 = try OwnedSocket(AF_INET6, SOCK_DGRAM, or: AF_INET)
        try trial.expectRead(datagram6, say("a UDP socket over IPv6", "IPv6 的 UDP 套接字"))
        let local = try ConnectedPair(SOCK_STREAM, path: trial.folder + "/s.sock")
        try trial.expectRead(local.client, say("a Unix socket", "Unix 套接字"))
    },
    Check("read-only", suspects: Cause.readingOptions) { trial in
        let socket = try OwnedSocket(AF_INET, SOCK_STREAM)
        let before = try SocketState(of: socket.descriptor)
        let call = try trial.begin("read-options", [.passed(socket.descriptor)], plan: FaultPlan.none)
        _ = try call.value()
        call.subject.catchUp()
        let changing = call.subject.timeline.calls.first { call in
            call.name == "setsockopt" || call.name == "close" || call.name == "shutdown"
                || call.name == "fcntl" && call.arguments.0 == Int64(F_SETFL)
        }
        let after = try SocketState(of: socket.descriptor)
        if let changing {
            throw Failure(
                expected: say("reading changes nothing", "读取不改变任何东西"), got: changing.text(now: 0),
                cause: "changes-what-it-reads")
        }
        guard after == before else { throw LabError("a socket changed without a call") }
    },
    Check("read-error", suspects: Cause.readingOptions) { trial in
        try trial.withFile { file in
            try trial.expectRefused("read-options", [.passed(file)], nil, code: ENOTSOCK, say("a file", "文件"))
        }
    },
]

extension OwnedSocket {
    /// - Parameter other: the family for a machine without the first.
    fileprivate convenience init(_ family: Int32, _ type: Int32, or other: Int32) throws {
        do { try self.init(family, type) } catch let error as SocketError where error.code == EAFNOSUPPORT {
            try self.init(other, type)
        }
    }
}

func flagText(_ flags: Int32) -> String {
    let names = [(O_NONBLOCK, "O_NONBLOCK"), (O_APPEND, "O_APPEND")].filter { flags & $0.0 != 0 }.map(\.1)
    return names.isEmpty
        ? say("neither O_NONBLOCK nor O_APPEND", "没有 O_NONBLOCK 和 O_APPEND") : names.joined(separator: " | ")
}

extension Trial {
    /// `read-options` says of it what the kernel says.
    fileprivate func expectRead(_ socket: OwnedSocket, _ what: String, in process: Subject? = nil) throws {
        let right = try SocketState(of: socket.descriptor)
        let call = try begin("read-options", [.passed(socket.descriptor)], plan: FaultPlan.none, in: process)
        let got = try SocketState(try call.value(expecting: say("readOptions reads \(what)", "readOptions 读取：\(what)")))
        guard let wrong = got.differences(from: right).first else { return }
        throw Failure(
            expected: say(
                "of \(what) it says \(wrong.name): \(wrong.right)", "\(what)，它的 \(wrong.name)：\(wrong.right)"),
            got: wrong.got, cause: readingMistake(wrong.name, got, right))
    }
}

/// What must have gone wrong for this to be read.
private func readingMistake(_ name: String, _ got: SocketState, _ right: SocketState) -> String? {
    switch name {
    case "SO_SNDBUF" where got.sendBuffer * 2 == right.sendBuffer,
        "SO_RCVBUF" where got.receiveBuffer * 2 == right.receiveBuffer:
        return "halved-the-buffer"
    case "SO_LINGER" where (right.linger == .off) != (got.linger == .off): return "linger-time-without-linger"
    case "SO_KEEPALIVE" where right.keepAlive == .off: return "timers-taken-for-keep-alive"
    case "SO_RCVTIMEO" where isUnitMistake(got.receiveTimeout, right.receiveTimeout),
        "SO_SNDTIMEO" where isUnitMistake(got.sendTimeout, right.sendTimeout):
        return "time-in-wrong-units"
    case "O_NONBLOCK": return "flags-compared-as-a-whole"
    case "SO_ACCEPTCONN": return "listening-guessed"
    default: return nil
    }
}

/// The seconds alone, or microseconds that were taken for milliseconds.
private func isUnitMistake(_ got: Milliseconds, _ right: Milliseconds) -> Bool {
    let (seconds, rest) = (right / 1000, right % 1000)
    return [seconds, seconds * 1000, rest, seconds * 1000 + rest * 1000, seconds + rest * 1000, rest * 1000].contains(
        got)
}

extension PendingCall {
    /// It was to set this option, and did not.
    fileprivate func leavesOut(_ name: String) -> Bool {
        subject.catchUp()
        return !subject.timeline.calls("setsockopt").contains { KernelOption.name(of: $0) == name }
    }
}

extension SocketOptions {
    /// This timeout is to be 0.
    fileprivate func hasZero(_ name: String) -> Bool {
        name == "SO_RCVTIMEO" && receiveTimeout == 0 || name == "SO_SNDTIMEO" && sendTimeout == 0
    }
}
