// What the checks of lesson 11 need for sockets that are lent to a function, and for functions that should wait.
import Course
import GraderKit
import Sockets
import Wire

/// A socket that a function is given, and that must be the same afterwards: the grader keeps a descriptor of it.
final class LentSocket {
    let descriptor: Int32
    private let blocks: Bool
    private let limits: [[UInt8]]

    /// A TCP connection to `listener`, which is still to accept it.
    init(to listener: StreamListener, blocks: Bool) throws {
        descriptor = try closeOnExecSocket(listener.address.family, SOCK_STREAM)
        self.blocks = blocks
        limits = try LentSocket.limits(of: descriptor)
        let descriptor = descriptor
        try check("connect", listener.address.withSockaddr { connect(descriptor, $0, $1) })
        if !blocks { try check("fcntl", fcntl(descriptor, F_SETFL, O_NONBLOCK)) }
    }

    deinit { close(descriptor) }

    var argument: Value { .passed(descriptor) }

    /// Blocking or not, and with the time limits, that it had before.
    func expectUnchanged(by call: PendingCall) throws {
        let sentence = say("the socket is left open, and as it was", "套接字仍然开着，并且和原来一样")
        let timeline = call.subject.timeline
        let used = Set(timeline.calls.filter { $0.isSend || $0.isReceive }.map(\.descriptor))
        if let early = timeline.calls.first(where: {
            timeline.endsWhatWasLent($0) && used.contains($0.descriptor)
        }) {
            throw Failure(expected: sentence, got: early.callText, cause: "closed-the-lent-socket")
        }
        let blocksNow = fcntl(descriptor, F_GETFL) & O_NONBLOCK == 0
        guard blocksNow == blocks else {
            throw Failure(
                expected: sentence,
                got: blocksNow ? say("it blocks now", "它变成阻塞的了") : say("it does not block any more", "它变成非阻塞的了"),
                cause: "changed-what-was-lent")
        }
        guard try LentSocket.limits(of: descriptor) == limits else {
            throw Failure(
                expected: sentence,
                got: say(
                    "SO_RCVTIMEO or SO_SNDTIMEO is set: it has a time limit now", "设置了 SO_RCVTIMEO 或 SO_SNDTIMEO：它有了时限"),
                cause: "changed-what-was-lent")
        }
    }

    private static func limits(of descriptor: Int32) throws -> [[UInt8]] {
        try [SO_RCVTIMEO, SO_SNDTIMEO].map { option in
            var value = [UInt8](repeating: 0, count: MemoryLayout<timeval>.size)
            var size = socklen_t(value.count)
            try check("getsockopt", getsockopt(descriptor, SOL_SOCKET, option, &value, &size))
            return value
        }
    }
}

extension PendingCall {
    /// What the function did in the end; nil if it has not come back within so many seconds.
    func outcomeSoFar(within seconds: Double) throws -> Outcome? {
        do { return try outcome(within: seconds) } catch is Failure { return nil }
    }

    /// Waits until the function, whose call found nothing to do (EAGAIN), waits for the socket in select, poll or epoll. One
    /// that calls again without that has not waited: it has slept, or it spins.
    func expectWaiting(after isMeant: @escaping (Call) -> Bool, for what: String) throws {
        enum Found {
            case waits
            case repeats(Call, Call)
        }
        let found = try subject.waitForTimeline { timeline -> Found? in
            let calls = timeline.calls
            if calls.contains(where: \.waitsForSocket) { return .waits }
            let vain = calls.filter { isMeant($0) && $0.error == EAGAIN }
            return vain.count < 3 ? nil : .repeats(vain[1], vain[2])
        }
        let expected = say(
            "it waits in poll, select or epoll until the socket is \(what)", "在 poll、select 或 epoll 中等套接字\(what)")
        switch found {
        case .waits: return
        case .repeats(let earlier, let later):
            let slept = subject.timeline.sleeps.last
            // Whoever sleeps in a library is not seen to sleep; only that time passes.
            let pause = later.entered - min(earlier.returned ?? 0, later.entered)
            throw Failure(
                expected: expected,
                got: slept.map { say("\($0.callText), then again", "\($0.callText)，然后再试") }
                    ?? say("\(later.name) again and again", "反复调用 \(later.name)"),
                cause: slept != nil || pause > 1_000_000 ? "slept-instead-of-waiting" : "polls-instead-of-waiting")
        case nil:
            let text = try outcomeSoFar(within: 0.1)?.text ?? say("it does not", "没有等待")
            throw Failure(expected: expected, got: text)
        }
    }
}

extension Call {
    /// In select, poll or epoll, for at least one descriptor.
    var waitsForSocket: Bool { isWait && arguments.0 > 0 }

    /// How long it was asked to sleep; nil if it does something else. poll and select without a descriptor sleep, too.
    var sleepMilliseconds: Int? {
        switch name {
        case "sleep", "usleep", "nanosleep": return Int(arguments.0)
        case "poll", "ppoll", "select", "pselect": return arguments.0 == 0 ? Int(arguments.1) : nil
        default: return nil
        }
    }
}

extension Timeline {
    /// Calls that do nothing but let time pass.
    var sleeps: [Call] { calls.filter { $0.sleepMilliseconds != nil } }

    /// Those made by the function `sleep` that the program is given, which waits in nanosleep.
    var givenSleeps: [Call] { calls("nanosleep") }
}
