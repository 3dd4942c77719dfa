/// A named mistake, and the rule that recognises it in what the program did. The catalogue explains it to the student
/// (`Lessons/causes.json`, or `causes` of a lesson.json) under the same id.
import Course
import Sockets
import Wire

public struct Cause: Sendable {
    public let id: String
    /// Nil if the evidence does not show this mistake; else what it looked like here, or an empty string.
    let find: @Sendable (Evidence) -> String?
    /// It explains a crash, so it is looked at before the general words for crashes.
    var explainsCrash = false

    public init(_ id: String, find: @escaping @Sendable (Evidence) -> String?) {
        self.id = id
        self.find = find
    }

    /// A mistake that is shown by a condition, without more to say.
    public init(_ id: String, when condition: @escaping @Sendable (Evidence) -> Bool) {
        self.init(id) { condition($0) ? "" : nil }
    }
}

/// What is known when a check has failed.
public struct Evidence: Sendable {
    public var failure: Failure
    /// Of the process that was asked last.
    public var timeline: Timeline
    public var asked: (entry: String, host: String, port: UInt16)?
    /// Nil while the process lives.
    public var ending: Subject.Ending?
    /// What the server said when it came back: it returned, or threw.
    public var returned: PendingCall.Outcome?
    /// CPU time over wall time since the process began, 1 is one core.
    public var load: Double
    /// The same, in the moment after the check had failed.
    public var loadNow: Double
    public var output: Subject.Output
    /// How many TCP connections the check had with its programs.
    public var connections: Int
    /// When the evidence was taken (ns).
    public var now: UInt64
    /// What a function came back with, if the check has not asked for it.
    public var answer: PendingCall.Outcome?
    /// When it was first sent SIGTERM (ns); nil if it never was.
    public var stopAsked: UInt64?
}

extension Cause {
    // MARK: How it ended

    static let sigpipe = Cause("sigpipe") { $0.ending?.signal == SIGPIPE }
    static let memory = Cause("out-of-memory") { $0.ending?.limit == .memory }
    static let threadLimit = Cause("too-many-threads") { $0.ending?.limit == .threads }
    static let cpuLimit = Cause("spinning") { $0.ending?.signal == SIGXCPU }
    static let fileSize = Cause("file-too-large") { $0.ending?.signal == SIGXFSZ }
    static let flood = Cause("output-flood") { evidence in
        guard evidence.output.count > Subject.Output.most else { return nil }
        return say("it printed more than \(evidence.output.count >> 20) MB", "它打印了超过 \(evidence.output.count >> 20) MB")
    }
    static let misaligned = Cause("misaligned-load") { Cause.crashText($0).contains("misaligned") }
    static let overflow = Cause("arithmetic-overflow") {
        let text = Cause.crashText($0)
        return text.contains("overflow") || text.contains("Not enough bits")
            || text.contains("Negative value is not representable")
    }
    static let indexOutOfRange = Cause("index-out-of-range") { isOutOfRange(Cause.crashText($0)) }

    /// Does Swift say that an element was asked for which is not there?
    public static func isOutOfRange(_ crashText: String) -> Bool {
        ["out of range", "out of bounds", "Can't remove"].contains { crashText.contains($0) }
    }

    /// What a crash means in this check: `id` says more than the general words.
    ///
    /// - Parameter matches: asks whether this is the crash that is meant, from what Swift says of it.
    /// - Parameter hasHappened: asks whether what leads to it was there.
    public static func crash(
        meaning id: String, when matches: @escaping @Sendable (_ crashText: String) -> Bool = { _ in true },
        after hasHappened: @escaping @Sendable (Timeline) -> Bool = { _ in true }
    ) -> Cause {
        var cause = Cause(id) { evidence in
            crash.find(evidence).flatMap { matches($0) && hasHappened(evidence.timeline) ? $0 : nil }
        }
        cause.explainsCrash = true
        return cause
    }

    static let crash = Cause("crash") { evidence in
        guard let signal = evidence.ending?.signal,
            [SIGILL, SIGTRAP, SIGABRT, SIGSEGV, SIGBUS, SIGFPE].contains(signal)
        else { return nil }
        return Cause.crashText(evidence)
    }
    static let killed = Cause("killed") { evidence in
        evidence.ending?.signal.map { say("signal \($0)", "信号 \($0)") }
    }
    static let exited = Cause("exited") { evidence in
        evidence.ending?.code.map { say("exit code \($0)", "退出码 \($0)") }
    }
    static let threw = Cause("server-threw") { evidence in
        // Before it has listened or heard from anybody no client is to blame.
        guard case .threw(_, _, _, let description)? = evidence.returned,
            evidence.timeline.calls.contains(where: { $0.returned != nil && ($0.name == "listen" || $0.isReceive) })
        else { return nil }
        return description
    }
    /// No client could have reached it yet.
    static let couldNotStart = Cause("could-not-start") { evidence in
        guard case .threw(_, _, _, let description)? = evidence.returned else { return nil }
        return description
    }
    /// What fails when a server starts is tried again, with the same result.
    static let startRetried = Cause("start-retried") { evidence in
        guard let asked = evidence.asked, !asked.host.isEmpty else { return nil }
        let making = evidence.timeline.calls("socket", "bind", "listen")
        guard let failed = making.last(where: \.failed) else { return nil }
        let attempts = making.filter { $0.name == failed.name }
        let times = attempts.count { $0.error == failed.error }
        guard times > 2, attempts.last?.failed == true else { return nil }
        return say(
            "\(failed.name) failed \(times) times with \(errorName(failed.error))",
            "\(failed.name) 以 \(errorName(failed.error)) 失败了 \(times) 次")
    }

    /// connect failed for good, and the socket was used as if it had not.
    static let connectIgnored = Cause("connect-not-checked") { evidence in
        let calls = evidence.timeline.calls
        for (index, call) in calls.enumerated() where call.name == "connect" && call.failed {
            guard ![EINPROGRESS, EINTR, EALREADY, EISCONN, EAGAIN].contains(call.error) else { continue }
            let next = calls[(index + 1)...].first { $0.descriptor == call.descriptor && $0.process == call.process }
            if let next, next.isSend || next.isReceive { return "\(call.callText) = -1 \(errorName(call.error))" }
        }
        return nil
    }

    /// It looks at the same bytes again and again, and does not take them.
    static let peekedOnly = Cause("peeked-not-taken") { evidence in
        let receives = evidence.timeline.calls.filter { $0.isReceive && $0.result > 0 }.suffix(3)
        guard let last = receives.last, receives.count == 3,
            receives.allSatisfy({
                $0.name.hasPrefix("recv") && Int32(truncatingIfNeeded: $0.arguments.0) & Int32(MSG_PEEK) != 0
                    && $0.descriptor == last.descriptor && $0.result == last.result
            })
        else { return nil }
        return last.callText
    }

    /// Not the contract's error, which was expected, but one of the same name.
    static let ownErrorType = Cause("own-error-type") { evidence in
        for word in evidence.failure.got.split(separator: " ") where word.hasPrefix("Lesson") {
            let parts = word.split(separator: ".")
            guard parts.count > 2, evidence.failure.expected.contains(parts[1]) else { continue }
            let (own, contracts) = ("\(parts[0]).\(parts[1])", "Course.\(parts[1])")
            return say("\(own) is not \(contracts)", "\(own) 不是 \(contracts)")
        }
        return nil
    }
    static let returnedEarly = Cause("server-returned") { evidence in
        guard case .returned? = evidence.returned else { return nil }
        return ""
    }

    /// What Swift says of the trap: in a line of its own (`Fatal error: Index out of range`), or, for arithmetic, only
    /// in the backtrace (`Swift runtime failure: arithmetic overflow in Lesson01 at /…`).
    static func crashText(_ evidence: Evidence) -> String {
        evidence.ending?.signal == nil ? "" : crashText(in: evidence.output.text)
    }

    static func crashText(in output: String) -> String {
        for line in output.split(separator: "\n") {
            if let start = line.range(of: "Fatal error: ")?.upperBound { return String(line[start...]) }
            if let start = line.range(of: "Swift runtime failure: ")?.upperBound {
                let rest = line[start...]
                return String(rest[..<(rest.range(of: " in ")?.lowerBound ?? rest.endIndex)])
            }
        }
        return ""
    }

    /// Endings that say by themselves what went wrong.
    static let crashes: [Cause] = [
        memory, threadLimit, fileSize, flood, sigpipe, cpuLimit, misaligned, overflow, indexOutOfRange, crash,
    ]
    /// What explains a failure of any check, the surest first. A server may have come back because of an `EINTR`, or of a
    /// port that nobody asked it for, so these are looked at before.
    static let general: [Cause] = [
        ownErrorType, peekedOnly, startRetried, connectIgnored, interruptedCall, portInHostOrder, ignoredPort,
        portTaken, usedAfterClose, threw, returnedEarly, exited, killed, ignoredHost, couldNotStart, neverBound,
        neverListened, shortSend, spinning, askedForNothing, waitAllTrusted, busy, blockedInReceive,
        errnoWithoutFailure, callRefused, neverSent,
    ]
}

extension Timeline {
    /// The addresses that were given to bind, without those of Unix sockets.
    var boundInternet: [SocketAddress] { calls("bind").compactMap(\.given).filter { $0.family != AF_UNIX } }

    /// The receive from a client in which the thread waits that accepted last, while no other serves.
    public var receiveThatHoldsAll: Call? {
        let receives = blocked.filter { $0.isReceive && accepted($0.descriptor) }
        let accepting = calls.last(where: \.isAccept)?.thread
        return receives.allSatisfy { $0.thread == accepting } ? receives.last : nil
    }

    /// Received, or sent, on a connection. Where the program has accepted or made one, that is none which it has to itself:
    /// a pipe that wakes it, a timer.
    public func movesBytes(_ call: Call) -> Bool {
        guard call.result > 0, call.isReceive || call.isSend else { return false }
        var hasConnections = false
        for other in calls where other.isAccept && other.result >= 0 || other.name == "connect" {
            if call.descriptor == (other.isAccept ? Int32(other.result) : other.descriptor) { return true }
            hasConnections = true
        }
        return !hasConnections
    }

    /// A close or shutdown of a socket that the program was given: not of a copy that it has made itself, which is its to
    /// close; shut down, though, the socket is that for everybody.
    public func endsWhatWasLent(_ call: Call) -> Bool {
        if call.name == "shutdown" { return true }
        guard call.name == "close" else { return false }
        return !calls.contains {
            $0.copiesDescriptor && $0.result == Int64(call.descriptor) && $0.entered < call.entered
        }
    }

    /// Does this descriptor come from `accept`?
    public func accepted(_ descriptor: Int32) -> Bool {
        calls.contains { $0.isAccept && $0.result == Int64(descriptor) }
    }

    /// It accepts, or whoever was at bind or listen last takes it for a success: it receives, or waits. Other threads may
    /// read and wait for what they like.
    var goesOnToServe: Bool {
        if calls.contains(where: \.isAccept) { return true }
        let making: Set = ["socket", "bind", "listen", "connect"]
        guard let last = calls.lastIndex(where: { making.contains($0.name) }),
            ["bind", "listen"].contains(calls[last].name)
        else { return false }
        // A wait for nothing is a pause, before it tries again or gives up.
        return calls[last...].contains {
            $0.thread == calls[last].thread && ($0.isReceive || $0.isWait && $0.arguments.0 > 0)
        }
    }
}

extension Call {
    /// This number is closed by it, or stands for another socket from now on (dup2(2)).
    public func closes(_ number: Int32) -> Bool {
        switch name {
        case "close": return descriptor == number
        case "dup2", "dup3": return arguments.0 == Int64(number) && result >= 0
        default: return false
        }
    }

    /// Its result is another descriptor of the same socket (dup(2), F_DUPFD of fcntl(2)).
    public var copiesDescriptor: Bool {
        switch name {
        case "dup", "dup2", "dup3": return true
        // It returns flags, too.
        case "fcntl": return [F_DUPFD, F_DUPFD_CLOEXEC].contains(Int32(truncatingIfNeeded: arguments.0))
        default: return false
        }
    }
}
