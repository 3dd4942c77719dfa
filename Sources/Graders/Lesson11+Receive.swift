// Checks of exercise 11 receive-with-timeout. lesson.json describes each under the same id.
import Course
import GraderKit
import Sockets
import Wire

let lesson11Receive = wholeMessages + partsOfMessages

private let partsOfMessages: [Check] = [
    Check("receive-end", suspects: [.readsPastTheEnd]) { trial in
        for count in [0, 7] {
            let listener = try trial.listen()
            let part = trial.random.letters(count)
            let (call, peer) = try trial.beginReceive(10, from: listener)
            try peer.send(part)
            peer.halfClose()
            try call.expectReceived(part, "endOfStream")
        }
    },
    Check("receive-silence", suspects: [.blockedForEver, .waitsWithoutDeadline]) { trial in
        let listener = try trial.listen()
        let (call, peer) = try trial.beginReceive(10, from: listener, timeout: 400)
        try call.expectReceived([], "timedOut", notBefore: 400)
        peer.close()
    },
    Check("receive-part", suspects: [.blockedForEver, .waitsWithoutDeadline]) { trial in
        let listener = try trial.listen()
        let part = trial.random.letters(5)
        let (call, peer) = try trial.beginReceive(10, from: listener, timeout: 1500)
        try peer.send(part)
        try call.expectReceived(part, "timedOut", notBefore: 1500)
        peer.close()
    },
    Check("receive-reset") { trial in
        let listener = try trial.listen()
        let part = trial.random.letters(5)
        let (call, peer) = try trial.beginReceive(10, from: listener)
        try peer.send(part)
        _ = try call.subject.waitForTimeline { $0.receivedCount >= 5 ? true : nil }
        peer.reset()
        try call.expectReceived(part, "broken(code: \(ECONNRESET))")
        // Both are there before it looks: poll speaks of the break already, and the bytes come first all the same.
        let pair = try SocketPair(trial)
        try pair.send(part)
        try pair.breakOff()
        let late = try trial.begin(
            "receive-with-timeout", [.passed(pair.lent), .int(10), .int(60_000)], plan: FaultPlan())
        try late.expectReceived(part, "broken(code: \(ECONNRESET))")
    },
    Check("receive-one-deadline", suspects: [.deadlineBegunAnew, .blockedForEver]) { trial in
        let listener = try trial.listen()
        let (call, peer) = try trial.beginReceive(100_000, from: listener, timeout: 700)
        // A byte now and then: never as long a silence as the time limit.
        let deadline = Deadline()
        var outcome: PendingCall.Outcome?
        var sent: [UInt8] = []
        while outcome == nil && !deadline.hasPassed {
            let byte = trial.random.letters(1)
            try peer.send(byte)
            sent += byte
            outcome = try call.outcomeSoFar(within: 0.03)
        }
        guard let outcome else {
            throw Failure(
                expected: say(".timedOut after 700 ms, though bytes trickle in", "虽然字节零星到来，700 ms 后仍为 .timedOut"),
                got: say("it is still receiving", "它还在接收"))
        }
        // The last byte may have come too late.
        let received = call.subject.timeline.receivedCount
        try outcome.expectReceived(Array(sent.prefix(received)), "timedOut", taken: received)
    },
    Check("receive-eintr-deadline", suspects: [.deadlineBegunAnew, .blockedForEver]) { trial in
        let listener = try trial.listen()
        // A signal ends every wait at once, for ever. Signals must not make the time longer.
        let plan = FaultPlan.fail(.receive, every: 1, with: EINTR) + .fail(.waitReady, every: 1, with: EINTR)
        let (call, peer) = try trial.beginReceive(10, from: listener, timeout: 300, plan: plan)
        guard let outcome = try call.outcomeSoFar(within: Deadline.patience) else {
            throw Failure(
                expected: say(".timedOut after 300 ms of interrupted waits", "等待不断被打断，300 ms 后仍为 .timedOut"),
                got: say("it is still waiting", "它还在等"))
        }
        try outcome.expectReceived([], "timedOut", taken: call.subject.timeline.receivedCount)
        peer.close()
    },
    Check("receive-now", suspects: [.blockedForEver]) { trial in
        for count in [0, 5] {
            let pair = try SocketPair(trial)
            let part = trial.random.letters(count)
            try pair.send(part)
            let call = try trial.begin(
                "receive-with-timeout", [.passed(pair.lent), .int(10), .int(0)], plan: FaultPlan())
            try call.expectReceived(part, "timedOut")
        }
    },
    Check("receive-waits", suspects: [.notReadyIsFailure]) { trial in
        let listener = try trial.listen()
        let lent = try LentSocket(to: listener, blocks: false)
        let message = trial.random.letters(10)
        let call = try trial.begin(
            "receive-with-timeout", [lent.argument, .int(10), .int(60_000)], plan: FaultPlan())
        let peer = try listener.accept(from: call)
        try call.expectWaiting(after: \.isReceive, for: say("readable", "可读"))
        try peer.send(message)
        try call.expectReceived(message, "complete")
    },
    Check("receive-lent") { trial in
        for blocks in [true, false] {
            let listener = try trial.listen()
            let lent = try LentSocket(to: listener, blocks: blocks)
            let call = try trial.begin(
                "receive-with-timeout", [lent.argument, .int(10), .int(200)], plan: FaultPlan())
            let peer = try listener.accept(from: call)
            try call.expectReceived([], "timedOut")
            try lent.expectUnchanged(by: call)
            peer.close()
        }
    },
]

private let wholeMessages: [Check] = [
    Check("receive-pieces", suspects: [.oneReceiveIsOneMessage]) { trial in
        let listener = try trial.listen()
        let message = trial.random.letters(10_000)
        let (call, peer) = try trial.beginReceive(message.count, from: listener)
        for start in stride(from: 0, to: message.count, by: 2500) {
            try peer.send(Array(message[start..<start + 2500]))
            // The next piece only when this one has been taken, or when recv was told to wait for all of them.
            _ = try call.subject.waitForTimeline(until: Deadline(in: 2)) { $0.hasTaken(start + 2500) ? true : nil }
        }
        try call.expectReceived(message, "complete")
    },
    Check("receive-no-more", suspects: [.oneReceiveIsOneMessage]) { trial in
        let listener = try trial.listen()
        let message = trial.random.letters(150)
        let (call, peer) = try trial.beginReceive(100, from: listener)
        // In two pieces: the second recv must not ask for 100 again.
        try peer.send(Array(message.prefix(60)))
        _ = try call.subject.waitForTimeline(until: Deadline(in: 2)) { $0.hasTaken(60) ? true : nil }
        try peer.send(Array(message.dropFirst(60)))
        try call.expectReceived(Array(message.prefix(100)), "complete")
        let count = call.subject.timeline.receivedCount
        // What came back is right, so fewer only means that the record has gaps.
        guard count <= 100 else {
            throw Failure(
                expected: say("100 bytes are taken from the socket", "从套接字取走 100 字节"),
                got: say("\(count) were taken", "取走了 \(count) 字节"), cause: "took-too-much")
        }
    },
    Check("receive-eintr", suspects: [.interruptedCall, .oneReceiveIsOneMessage]) { trial in
        let listener = try trial.listen()
        let message = trial.random.letters(100)
        let plan =
            FaultPlan.fail(.receive, 1, through: 3, with: EINTR) + .fail(.waitReady, 1, through: 3, with: EINTR)
            + .most(9, each: .receive)
        let (call, peer) = try trial.beginReceive(100, from: listener, plan: plan)
        try peer.send(message)
        try call.expectReceived(message, "complete")
    },
]

extension Timeline {
    /// So many bytes are out of the socket, or recv was told to wait for all that it was asked for.
    fileprivate func hasTaken(_ count: Int) -> Bool {
        receivedCount >= count
            || calls.contains { $0.isReceive && $0.arguments.0 & Int64(MSG_WAITALL as Int32) != 0 }
    }
}

/// Two ends of a stream that is there before the function is called.
private final class SocketPair {
    let lent: Int32
    private var own: Int32
    private let trial: Trial

    init(_ trial: Trial) throws {
        self.trial = trial
        var pair: [Int32] = [-1, -1]
        try check("socketpair", socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, &pair))
        (lent, own) = (pair[0], pair[1])
    }

    func send(_ bytes: [UInt8]) throws {
        if !bytes.isEmpty { try check("send", Sockets.send(own, bytes, bytes.count, MSG_NOSIGNAL)) }
    }

    /// Closes with a byte unread: the other end gets what was sent, and then ECONNRESET (unix(7)).
    func breakOff() throws {
        var byte: UInt8 = 0
        try check("send", Sockets.send(lent, &byte, 1, MSG_NOSIGNAL))
        close(own)
        own = -1
    }

    deinit {
        close(lent)
        if own >= 0 { trial.closeAtTheEnd(own) }
    }
}

extension Trial {
    fileprivate func beginReceive(
        _ count: Int, from listener: StreamListener, timeout: Milliseconds = 60_000, plan: FaultPlan = FaultPlan()
    ) throws -> (PendingCall, StreamPeer) {
        let call = try begin(
            "receive-with-timeout", [listener.socketArgument, .int(count), .int(timeout)], plan: plan)
        return (call, try listener.accept(from: call))
    }
}

/// An ending with the name of its errno, which is a number in it.
private func named(_ ending: String) -> String {
    ending.hasPrefix("broken") ? "\(ending) (\(ECONNRESET) = \(errorName(ECONNRESET)))" : ending
}

extension PendingCall {
    fileprivate func expectReceived(_ bytes: [UInt8], _ ending: String, notBefore timeout: Milliseconds = 0) throws {
        let outcome = try outcome(
            expecting: say(
                "it returns \(byteCount(bytes.count)), .\(named(ending))",
                "返回 \(byteCount(bytes.count))，.\(named(ending))"))
        let ended = now()
        try outcome.expectReceived(bytes, ending, taken: subject.timeline.receivedCount)
        try expectNotEarly(timeout, ended)
    }
}

extension PendingCall.Outcome {
    /// - Parameter taken: how many bytes it took from the socket.
    fileprivate func expectReceived(_ bytes: [UInt8], _ ending: String, taken: Int) throws {
        let expected = say(
            "\(byteCount(bytes.count)), .\(named(ending))", "\(byteCount(bytes.count))，.\(named(ending))")
        guard case .returned(.list(let facts)) = self, facts.count == 2, case .bytes(let got) = facts[0],
            case .string(let end) = facts[1]
        else {
            throw Failure(expected: expected, got: text, cause: "threw-what-it-had")
        }
        if got == bytes && end == ending { return }
        let cause: String? =
            switch (ending, end) {
            case _ where taken < bytes.count && got.count == taken && end != "complete": "left-in-the-socket"
            case ("timedOut", "endOfStream"): "timeout-taken-for-end"
            case ("endOfStream", "timedOut"): "end-taken-for-timeout"
            case _ where end == ending && end != "complete" && got.count < bytes.count: "part-lost"
            case _ where got == bytes: "another-ending"
            default: nil
            }
        throw Failure(
            expected: expected, got: say("\(byteCount(got.count)), .\(end)", "\(byteCount(got.count))，.\(end)"),
            difference: got == bytes || got.isEmpty || bytes.isEmpty ? [] : byteDifference(expected: bytes, got: got),
            cause: cause)
    }
}
