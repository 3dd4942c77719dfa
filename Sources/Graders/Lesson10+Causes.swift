// Mistakes of lesson 10, as the tap shows them.
import Course
import GraderKit
import Sockets
import Wire

extension Cause {
    /// There was no room for the rest, for a moment; there is now, and it waits for something else.
    static let waitsForBytesOnly = Cause("waits-for-bytes-only") { evidence in
        let transfers = evidence.timeline.calls.filter { $0.isSend || $0.isReceive }
        guard let last = transfers.last, last.isSend, last.error == EAGAIN,
            let wait = evidence.timeline.blocked.last(where: \.isWait)
        else { return nil }
        return wait.callText
    }

    // MARK: Options

    static let settingOptions: [Cause] = [.wrongLevel, .wrongValueType, .timeInWrongUnits]
    static let readingOptions: [Cause] = [.wrongLevel, .wrongValueType, .readsTimersOfOthers]

    /// A number that means one thing at one level means another at the other one.
    static let wrongLevel = Cause("wrong-level") { $0.timeline.wrongLevel }

    /// An Int32 where a pair or a time belongs.
    static let wrongValueType = Cause("wrong-value-type") { evidence in
        let types: [(option: KernelOption, type: String, size: Int)] = [
            (.linger, "linger", MemoryLayout<linger>.size), (.receiveTimeout, "timeval", MemoryLayout<timeval>.size),
            (.sendTimeout, "timeval", MemoryLayout<timeval>.size),
        ]
        for call in evidence.timeline.calls("setsockopt", "getsockopt") {
            guard let (option, type, size) = types.first(where: { KernelOption.name(of: call) == $0.option.name })
            else {
                continue
            }
            // getsockopt has told how much it wrote.
            let given = call.name == "setsockopt" ? call.length : call.data.count
            guard given < size, call.name == "setsockopt" || call.result == 0 else { continue }
            return call.name == "setsockopt"
                ? say(
                    "\(option.name) takes a \(type), \(size) bytes; it was given \(given)",
                    "\(option.name) 要的是 \(type)，\(size) 字节；给的是 \(given) 字节")
                : say(
                    "\(option.name) is a \(type), \(size) bytes; there was room for \(given)",
                    "\(option.name) 是 \(type)，\(size) 字节；只有 \(given) 字节的地方")
        }
        return nil
    }

    /// A million microseconds or more, which the kernel refuses; or milliseconds where microseconds belong.
    static let timeInWrongUnits = Cause("time-in-wrong-units") { evidence in
        for call in evidence.timeline.calls("setsockopt") {
            guard ["SO_RCVTIMEO", "SO_SNDTIMEO"].contains(KernelOption.name(of: call)),
                call.data.count == MemoryLayout<timeval>.size
            else { continue }
            let time = call.data.withUnsafeBytes { $0.loadUnaligned(as: timeval.self) }
            let isRound = time.tv_usec % 1000 == 0 && time.tv_sec < 60
            if call.error == EDOM || !isRound {
                return "\(KernelOption.name(of: call) ?? "") {\(time.tv_sec), \(time.tv_usec)}"
            }
        }
        return nil
    }

    static let timersAlone = Cause("timers-without-keep-alive") { evidence in
        let names = evidence.timeline.calls("setsockopt").compactMap(KernelOption.name(of:))
        return names.contains("TCP_KEEPIDLE") && !names.contains("SO_KEEPALIVE") ? "" : nil
    }

    /// It asked a socket that is not TCP for what only TCP has, and gave up.
    static let readsTimersOfOthers = Cause("refusal-is-an-answer") { evidence in
        guard let call = evidence.timeline.calls.last, call.name == "getsockopt", call.failed,
            [ENOPROTOOPT, EOPNOTSUPP].contains(call.error)
        else { return nil }
        return call.text(now: 0)
    }

    // MARK: Without waiting

    static let staysBlocking = Cause("stays-blocking") { evidence in
        // Not one that is just being made.
        evidence.timeline.blocked.last { ($0.isReceive || $0.isSend) && evidence.now > $0.entered + 50_000_000 }?
            .callText
    }

    /// The end of the stream, and it asks again.
    static let zeroTakenForNothing = Cause("zero-taken-for-nothing") { evidence in
        let ends = evidence.timeline.calls.filter {
            $0.isReceive && $0.returned != nil && $0.result == 0 && $0.length > 0
        }
        guard ends.count > 1, let last = ends.last else { return nil }
        return say("\(last.callText) returned 0 again and again", "\(last.callText) 一再返回 0")
    }

    /// It does not wait for the socket, but for a while.
    static let sleepsOnEagain = Cause("sleeps-on-eagain") { evidence in
        evidence.timeline.calls.last(where: \.isSleep)?.callText
    }

    static let spinsOnEagain = Cause("spins-on-eagain") { evidence in
        let again = evidence.timeline.fruitless.max { $0.value < $1.value }
        guard let again, again.value > 300 else { return nil }
        return say("\(again.key) came back \(again.value) times with nothing", "\(again.key) 有 \(again.value) 次空手而归")
    }

    /// EAGAIN came, and nothing was tried again.
    static let againIsAnError = Cause("eagain-is-an-error") { evidence in
        let calls = evidence.timeline.calls
        guard let index = calls.lastIndex(where: { $0.failed && $0.error == EAGAIN && ($0.isSend || $0.isReceive) }),
            !calls[(index + 1)...].contains(where: { $0.name == calls[index].name || $0.isWait })
        else { return nil }
        return "\(calls[index].callText) = -1 EAGAIN"
    }

    /// F_SETFL with O_NONBLOCK and nothing else of what was set.
    static let flagsOverwritten = Cause("flags-overwritten") { evidence in
        evidence.timeline.calls("fcntl").first {
            $0.arguments.0 == Int64(F_SETFL) && $0.arguments.1 & Int64(O_APPEND) == 0
        }?.callText
    }

    /// All is sent before anything is received.
    static let sendsBeforeItReceives = Cause("sends-before-it-receives") { evidence in
        let calls = evidence.timeline.calls
        guard calls.contains(where: { $0.isSend && $0.result > 0 }),
            !calls.contains(where: \.isReceive)
        else { return nil }
        return calls.last(where: \.isBlocked)?.callText ?? ""
    }

    // MARK: Closing

    static let closedWithFin = Cause("closed-with-fin") { evidence in
        let calls = evidence.timeline.calls
        if let early = calls.first(where: { $0.name == "shutdown" }) { return early.callText }
        let lingers = calls.filter { KernelOption.name(of: $0) == "SO_LINGER" && $0.name == "setsockopt" }
        guard let last = lingers.last else { return say("SO_LINGER was never set", "没有设置 SO_LINGER") }
        guard let close = calls.first(where: { $0.name == "close" }), last.entered < close.entered else {
            return say("SO_LINGER was set after close", "close 之后才设置 SO_LINGER")
        }
        return last.callText
    }

    // MARK: Servers

    /// It answered what one receive gave, and no newline was in that.
    static let answersHalfALine = Cause("one-recv-one-message") { evidence in
        let calls = evidence.timeline.calls
        for (index, call) in calls.enumerated() where call.isReceive && call.result > 0 {
            let newline = UInt8(ascii: "\n")
            guard call.data.count == Int(call.result), !call.data.contains(newline),
                let next = calls[(index + 1)...].first(where: { $0.descriptor == call.descriptor }), next.isSend,
                // What is sent may be the rest of an earlier answer.
                next.answeredLength == call.result
            else { continue }
            return say(
                "\(call.callText) returned \(quoted(call.data)), and the next call was \(next.name)",
                "\(call.callText) 返回 \(quoted(call.data))，紧接着就调用了 \(next.name)")
        }
        return nil
    }

    static let noReusePort = Cause("no-reuse-port") { evidence in
        let calls = evidence.timeline.calls
        guard let bind = calls.last(where: { $0.name == "bind" }), bind.error == EADDRINUSE,
            !calls.contains(where: { KernelOption.name(of: $0) == "SO_REUSEPORT" && $0.entered < bind.entered })
        else { return nil }
        return bind.text(now: 0)
    }
}

extension Timeline {
    /// SO_REUSEPORT that was set on a socket that was bound already.
    var sharedTooLate: Call? {
        calls.first { call in
            KernelOption.name(of: call) == "SO_REUSEPORT" && call.name == "setsockopt"
                && calls.contains { $0.name == "bind" && $0.descriptor == call.descriptor && $0.entered < call.entered }
        }
    }
}

extension Call {
    /// The length that the answer begins with which it sends: the line's own.
    var answeredLength: Int64? {
        data.firstIndex(of: UInt8(ascii: "\n")).flatMap { Int64(String(decoding: data[..<$0], as: UTF8.self)) }
    }

    /// Waits for time to pass, and for nothing else.
    var isSleep: Bool {
        switch name {
        case "sleep", "usleep", "nanosleep": true
        case "poll", "ppoll": arguments.0 == 0
        case "select", "pselect": selected.map { $0.readable.isEmpty && $0.writable.isEmpty } ?? false
        default: false
        }
    }
}

extension Timeline {
    /// A call that gives the number of one level's option to the other level; nil if there is none.
    var wrongLevel: String? {
        for call in calls("setsockopt", "getsockopt") {
            let (level, number) = (call.arguments.0, call.arguments.1)
            guard let other = [SOL_SOCKET, IPPROTO_TCP].first(where: { Int64($0) != level }),
                level == Int64(SOL_SOCKET) || level == Int64(IPPROTO_TCP as Int32),
                !KernelOption.all.contains(where: { Int64($0.level) == level && Int64($0.number) == number }),
                let meant = KernelOption.all.first(where: { $0.level == other && Int64($0.number) == number })
            else { continue }
            return say(
                "\(call.callText): \(meant.name) belongs to the level \(other == SOL_SOCKET ? "SOL_SOCKET" : "IPPROTO_TCP")",
                "\(call.callText)：\(meant.name) 属于 \(other == SOL_SOCKET ? "SOL_SOCKET" : "IPPROTO_TCP") 这一级")
        }
        return nil
    }
}
