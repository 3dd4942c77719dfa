// Checks of exercise 11 send-with-retry. lesson.json describes each under the same id.
import Course
import GraderKit
import Sockets
import Wire

let lesson11Send: [Check] = [
    Check("send-whole", suspects: [.notReadyIsFailure, .shortSend]) { trial in
        let listener = try trial.listen(smallBuffers: true)
        let message = trial.random.letters(512 << 10)
        let (call, peer) = try trial.beginSend(message, to: listener)
        try peer.expect(message)
        _ = try call.value()
    },
    Check("send-short", suspects: [.sentAgainFromTheStart, .shortSend]) { trial in
        let listener = try trial.listen()
        let message = trial.random.letters(1000)
        let (call, peer) = try trial.beginSend(message, to: listener, plan: .most(3, each: .send))
        try peer.expect(message)
        _ = try call.value()
        call.subject.stop()
        try peer.expectEnd()
    },
    Check("send-eintr", suspects: [.notReadyIsFailure, .interruptedCall]) { trial in
        let listener = try trial.listen(smallBuffers: true)
        let message = trial.random.letters(512 << 10)
        let plan =
            FaultPlan.fail(.send, 1, through: 3, with: EINTR) + .fail(.waitReady, 1, through: 3, with: EINTR)
        let (call, peer) = try trial.beginSend(message, to: listener, plan: plan)
        try peer.expect(message)
        _ = try call.value()
    },
    Check("send-waits", suspects: [.notReadyIsFailure, .shortSend]) { trial in
        let listener = try trial.listen(smallBuffers: true)
        let lent = try LentSocket(to: listener, blocks: false)
        let message = trial.random.letters(512 << 10)
        let call = try trial.begin(
            "send-with-retry", [lent.argument, .bytes(message), .int(60_000)], plan: FaultPlan())
        let peer = try listener.accept(from: call)
        try call.expectWaiting(after: \.isSend, for: say("writable", "可写"))
        try peer.expect(message)
        _ = try call.value()
    },
    Check("send-broken", suspects: [.shortSend]) { trial in
        let listener = try trial.listen(smallBuffers: true)
        let message = trial.random.letters(512 << 10)
        let (call, peer) = try trial.beginSend(message, to: listener)
        // A reset behind the end of the stream: send fails with EPIPE, and not with ECONNRESET first.
        _ = try call.subject.waitForTimeline { $0.calls.first(where: \.isSend) }
        peer.halfClose()
        peer.reset()
        try call.expectStopped([EPIPE, ECONNRESET])
    },
    Check("send-counts", suspects: [.shortSend]) { trial in
        for (code, calls) in [(EPIPE, 4), (ECONNRESET, 1), (ETIMEDOUT, 3)] {
            let listener = try trial.listen()
            let plan = FaultPlan.most(10, each: .send) + .fail(.send, calls, with: code)
            let (call, peer) = try trial.beginSend(trial.random.letters(1000), to: listener, plan: plan)
            try call.expectStopped([code])
            let sends = call.subject.timeline.calls.filter(\.isSend).count
            guard sends == calls else {
                throw Failure(
                    expected: say("no send after \(errorName(code))", "\(errorName(code)) 之后不再 send"),
                    got: say("\(sends - calls) more", "又调用了 \(sends - calls) 次"), cause: "hopeless-retried")
            }
            peer.close()
        }
    },
    Check(
        "send-deaf-peer",
        suspects: [.notReadyIsFailure, .blockedForEver, .deadlineBegunAnew, .waitsWithoutDeadline]
    ) { trial in
        let listener = try trial.listen(smallBuffers: true)
        let message = trial.random.letters(2 << 20)
        let (call, peer) = try trial.beginSend(message, to: listener, timeout: 300)
        let sent = try call.expectTimedOut(after: 300)
        // What was counted has gone out, and nothing else.
        try peer.expect(Array(message.prefix(sent)))
        call.subject.stop()
        try peer.expectEnd()
    },
    Check("send-one-deadline", suspects: [.notReadyIsFailure, .deadlineBegunAnew, .blockedForEver, .shortSend]) {
        trial in
        // A busy machine may have kept us from taking anything for the whole time, and then it gives up rightly, whatever it
        // counts: it is tried again.
        for _ in 0..<4 where try trial.expectOneDeadline() < 1_900_000_000 { return }
        throw Unavailable(
            say("this machine is too busy to tell what its time limit counts", "这台机器太忙，分不清它的时限在计什么"))
    },
    Check("send-lent", suspects: [.notReadyIsFailure, .blockedForEver]) { trial in
        for blocks in [true, false] {
            let listener = try trial.listen(smallBuffers: true)
            let lent = try LentSocket(to: listener, blocks: blocks)
            let message = trial.random.letters(256 << 10)
            let call = try trial.begin(
                "send-with-retry", [lent.argument, .bytes(message), .int(60_000)], plan: FaultPlan())
            let peer = try listener.accept(from: call)
            try peer.expect(message)
            _ = try call.value()
            try lent.expectUnchanged(by: call)
        }
        // Also on the way out that nobody looks at.
        let listener = try trial.listen(smallBuffers: true)
        let lent = try LentSocket(to: listener, blocks: true)
        let call = try trial.begin(
            "send-with-retry", [lent.argument, .bytes(trial.random.letters(4 << 20)), .int(200)], plan: FaultPlan())
        let deaf = try listener.accept(from: call)
        _ = try call.outcome()
        try lent.expectUnchanged(by: call)
        deaf.close()
    },
]

extension Trial {
    fileprivate func beginSend(
        _ message: [UInt8], to listener: StreamListener, timeout: Milliseconds = 60_000, plan: FaultPlan = FaultPlan()
    ) throws -> (PendingCall, StreamPeer) {
        let call = try begin(
            "send-with-retry", [listener.socketArgument, .bytes(message), .int(timeout)], plan: plan)
        return (call, try listener.accept(from: call))
    }

    /// It gives up after 2 s, though some of it is taken all the time.
    ///
    /// - Returns: the longest time for which nothing was taken, in nanoseconds.
    fileprivate func expectOneDeadline() throws -> UInt64 {
        let listener = try listen(smallBuffers: true)
        let (call, peer) = try beginSend(random.letters(6 << 20), to: listener, timeout: 2000)
        // A peer that reads a little now and then, as much as it takes for one more send: there is always room again before the
        // time is over. But never so much that one long send could be through with all of it in time: 4 KiB every 5 ms. Its
        // pace is that of the time limit, which no scale changes.
        let pause = 1 / Deadline.scale
        let deadline = Deadline()
        var longest: UInt64 = 0
        var taken = now()
        var outcome: PendingCall.Outcome?
        while outcome == nil && !deadline.hasPassed {
            let sent = call.subject.timeline.sentCount
            while outcome == nil && !deadline.hasPassed && call.subject.timeline.sentCount == sent {
                _ = try peer.receive(4096, until: Deadline(in: pause / 20), expected: say("it sends", "它在发送"))
                outcome = try call.outcomeSoFar(within: pause / 200)
            }
            longest = max(longest, now() - taken)
            taken = now()
            if outcome == nil { outcome = try call.outcomeSoFar(within: pause) }
        }
        if case .threw("SendError", "timedOut", _, _)? = outcome { return max(longest, now() - taken) }
        throw Failure(
            expected: say(
                "SendError.timedOut after 2000 ms, though some of it is taken",
                "虽然一直有进展，2000 ms 后仍抛出 SendError.timedOut"),
            got: outcome?.text ?? say("it is still sending", "它还在发送"))
    }
}

extension PendingCall {
    /// It throws SendError.failed with one of these codes, and says how many bytes the kernel has taken.
    fileprivate func expectStopped(_ codes: [Int32]) throws {
        let outcome = try outcome()
        let sent = subject.timeline.sentCount(before: codes)
        let descriptions = codes.map { "failed(sent: \(sent), code: \($0))" }
        let names = codes.map { "\($0) = \(errorName($0))" }.joined(separator: ", ")
        let expected = descriptions.map { "SendError.\($0)" }.joined(separator: say(" or ", " 或 ")) + " (\(names))"
        guard case .threw(let type, let name, _, let description) = outcome, type == "SendError" else {
            // Who has met no break did not come to it: it sent too little.
            let hasBroken = subject.timeline.calls.contains { $0.isSend && $0.failed && codes.contains($0.error) }
            throw Failure(
                expected: expected, got: outcome.text,
                cause: !outcome.isReturn ? "count-lost" : hasBroken ? "break-unnoticed" : nil)
        }
        if descriptions.contains(description) { return }
        let isStopped = name == "failed"
        let mistake = description.hasPrefix("failed(sent: \(sent), ") ? "errno-lost" : "count-wrong"
        throw Failure(expected: expected, got: description, cause: isStopped ? mistake : "another-ending")
    }

    /// - Returns: how many bytes it says that it has sent.
    fileprivate func expectTimedOut(after timeout: Milliseconds) throws -> Int {
        let outcome = try outcome()
        let ended = now()
        let timeline = subject.timeline
        let sent = timeline.sentCount
        let expected = "SendError.timedOut(sent: \(sent))"
        guard case .threw("SendError", let name, _, let description) = outcome else {
            throw Failure(expected: expected, got: outcome.text)
        }
        guard description == "timedOut(sent: \(sent))" else {
            let isLate = name == "timedOut"
            throw Failure(expected: expected, got: description, cause: isLate ? "count-wrong" : nil)
        }
        try expectNotEarly(timeout, ended)
        return sent
    }

    /// The time limit begins with the function. When that was, nobody can tell on a busy machine: not before it was asked.
    func expectNotEarly(_ timeout: Milliseconds, _ ended: UInt64, cause: String = "gave-up-early") throws {
        let took = Int(ended - asked) / 1_000_000
        guard took < timeout - 10 else { return }
        throw Failure(
            expected: say("it waits for \(timeout) ms", "等待 \(timeout) ms"),
            got: say("it gave up after \(took) ms", "\(took) ms 后就放弃了"), cause: cause)
    }
}

extension PendingCall.Outcome {
    var isReturn: Bool { if case .returned = self { true } else { false } }
}

extension Timeline {
    /// How many bytes the kernel has taken.
    var sentCount: Int { Timeline.sentCount(calls[...]) }

    /// The same, up to the first send that failed with one of these.
    func sentCount(before codes: [Int32]) -> Int {
        Timeline.sentCount(calls.prefix { !($0.isSend && $0.failed && codes.contains($0.error)) })
    }

    private static func sentCount(_ calls: ArraySlice<Call>) -> Int {
        calls.reduce(0) { $0 + ($1.isSend && $1.result > 0 ? Int($1.result) : 0) }
    }
}
