// Lesson 03: a question over a bad network.
import Course
import GraderKit
import Sockets
import Wire

let lesson03Request: [Check] = [
    Check("request-answered") { trial in
        let server = try trial.datagramPeer()
        let message = trial.random.letters(20)
        let call = try trial.ask("request", message, at: server.address, timeout: scaled(5_000), attempts: 3)
        let attempt = try server.expectAttempt(1, message, during: call)
        let payload = trial.random.bytes(30)
        try server.send(attempt.answer(payload), to: attempt.sender)
        try call.expectAnswer(payload, attempt: 1)
        try server.expectNothingMore(
            say("no second attempt after the answer", "得到回答后不再发送"), cause: "sent-more-than-once")
    },
    Check("request-retries", suspects: [.noDeadline]) { trial in
        let server = try trial.datagramPeer()
        let message = trial.random.letters(20)
        let timeout = scaled(150)
        let call = try trial.ask("request", message, at: server.address, timeout: timeout, attempts: 5)
        let first = try server.expectAttempt(1, message, during: call)
        try server.expectAttempt(2, message, of: first, during: call)
        let third = try server.expectAttempt(3, message, of: first, during: call)
        try server.send(third.answer(Array("at last".utf8)), to: third.sender)
        try call.expectAnswer(Array("at last".utf8), attempt: 3)
        try call.expectPauses(of: timeout, datagrams: 3)
    },
    Check("request-no-answer", suspects: [.noDeadline]) { trial in
        let server = try trial.datagramPeer()
        let message = trial.random.letters(20)
        let timeout = scaled(150)
        let call = try trial.ask("request", message, at: server.address, timeout: timeout, attempts: 3)
        let first = try server.expectAttempt(1, message, during: call)
        for number in 2...3 { try server.expectAttempt(number, message, of: first, during: call) }
        try call.expectNoAnswer(after: timeout, datagrams: 3)
        try call.expectNoLongerWait(than: timeout)
        try server.expectNothingMore(say("3 attempts, as it was told", "按要求只尝试 3 次"), cause: "sent-more-than-once")
    },
    Check("request-numbers") { trial in
        var numbers: [UInt32] = []
        for process in [try trial.launch(), try trial.launch()] {
            let server = try trial.datagramPeer()
            for _ in 0..<4 {
                let attempt = try trial.exchange(with: server, Array("number?".utf8), in: process)
                if numbers.contains(attempt.number) {
                    let text = numbers.map { "\($0)" }.joined(separator: ", ")
                    throw Failure(
                        expected: say(
                            "a request number that none of the calls before had: \(text)", "与之前的调用都不同的请求号：\(text)"),
                        got: say(
                            "\(attempt.number) again, in call \(numbers.count % 4 + 1) of run \(numbers.count / 4 + 1)",
                            "第 \(numbers.count / 4 + 1) 次运行的第 \(numbers.count % 4 + 1) 次调用又用了 \(attempt.number)"),
                        cause: "request-number-repeats")
                }
                numbers.append(attempt.number)
            }
        }
    },
    Check("request-late-answer", suspects: [.noDeadline]) { trial in
        let server = try trial.datagramPeer()
        let message = trial.random.letters(20)
        let call = try trial.ask("request", message, at: server.address, timeout: scaled(600), attempts: 4)
        let first = try server.expectAttempt(1, message, during: call)
        try server.expectAttempt(2, message, of: first, during: call)
        try call.expectPauses(of: scaled(600), datagrams: 2)
        try server.send(first.answer(Array("late, but right".utf8)), to: first.sender)
        let expected = say("the answer to attempt 1, during attempt 2", "在第 2 次尝试期间接受第 1 次尝试的回答")
        switch try server.receive(during: call, expected: expected) {
        case .outcome(let outcome): try outcome.expectAnswer(Array("late, but right".utf8), attempt: 1)
        case .datagram:
            throw Failure(
                expected: expected, got: say("it makes attempt 3", "它做了第 3 次尝试"), cause: "late-answer-refused")
        case .nothing:
            throw Failure(
                expected: expected,
                got: Deadline.nothing())
        }
    },
    Check("request-old-question") { trial in
        let server = try trial.datagramPeer()
        let old = try trial.exchange(with: server, Array("an old question".utf8))
        try trial.expectPassedOver(
            server,
            { attempt in
                if attempt.number == old.number {
                    throw Failure(
                        expected: say("another request number than the call before", "请求号与上一次调用不同"),
                        got: say("\(old.number) again", "又是 \(old.number)"), cause: "request-number-repeats")
                }
                return [old.number, attempt.number &+ 1, attempt.number &- 1, attempt.number.byteSwapped &+ 1].map {
                    attempt.answer(Array("not to this question".utf8), number: $0)
                }
            },
            say("it passes over answers with another request number", "略过请求号不同的回答"), cause: "trusts-every-answer")
    },
    Check("request-unmade-attempt") { trial in
        try trial.expectPassedOver(
            try trial.datagramPeer(),
            { attempt in
                [0, 2, 3, 0x0100_0000, 0x0100_0001, .max].map {
                    attempt.answer(Array("to no attempt of yours".utf8), attempt: $0)
                }
            },
            say("it passes over answers to attempts that it has not made", "略过没有做过的尝试的回答"),
            cause: "trusts-every-answer")
    },
    Check("request-short", suspects: [.crash(meaning: "reads-past-short-datagram")]) { trial in
        try trial.expectPassedOver(
            try trial.datagramPeer(), { attempt in (0...7).map { Array(attempt.answer([]).prefix($0)) } }, payload: [],
            say("it passes over datagrams of 0 to 7 bytes", "略过 0 到 7 字节的数据报"), cause: "takes-short-datagram")
    },
    Check("request-stranger", suspects: [.noRoomForAddress]) { trial in
        let server = try trial.datagramPeer()
        let strangers = try trial.strangers(to: server)
        try trial.expectPassedOver(
            server, from: strangers, { attempt in [attempt.answer(Array("from a stranger".utf8))] },
            say("it passes over answers from another address or port", "略过来自其他地址或端口的回答"),
            cause: "trusts-every-answer")
    },
    Check("request-junk", suspects: [.crash(meaning: "reads-past-short-datagram", when: Cause.isOutOfRange)]) { trial in
        let server = try trial.datagramPeer()
        let stranger = try trial.datagramPeer()
        let message = trial.random.letters(20)
        let timeout = scaled(500)
        let call = try trial.ask("request", message, at: server.address, timeout: timeout, attempts: 2)
        let first = try server.expectAttempt(1, message, during: call)
        let expected = say(
            "attempt 2 after \(timeout) ms, though junk arrives all the time", "尽管垃圾数据报不断到来，\(timeout) 毫秒后仍做第 2 次尝试")
        let patience = Deadline()
        var second: Attempt?
        while second == nil {
            try server.send(first.answer(Array("junk".utf8), number: first.number &+ 7), to: first.sender)
            try server.send([], to: first.sender)
            try stranger.send(Array("junk".utf8), to: first.sender)
            switch try server.receive(during: call, until: Deadline(in: 0.02), expected: expected) {
            case .datagram(let datagram): second = try Attempt(datagram, 2, message, of: first)
            case .outcome(let outcome):
                let early = try call.gaveUpEarly(2 * timeout) ? "wait-cut-short" : "trusts-every-answer"
                throw Failure(
                    expected: expected, got: outcome.text, cause: call.endedAtEmpty(outcome) ?? early)
            case .nothing:
                if patience.hasPassed {
                    throw Failure(
                        expected: expected,
                        got: Deadline.nothing(), cause: "timeout-restarts")
                }
            }
        }
        try call.expectPauses(of: timeout, datagrams: 2)
        if let second {
            try server.send(second.answer(Array("the answer".utf8)), to: second.sender)
            try call.expectAnswer(Array("the answer".utf8), attempt: 2, within: timeout)
        }
    },
    Check("request-refused", suspects: [.gaveUpOnRefusal, .noDeadline]) { trial in
        let server = try trial.closedPort()
        let message = trial.random.letters(20)
        let timeout = scaled(200)
        let call = try trial.ask("request", message, at: server.address, timeout: timeout, attempts: 20)
        let expected = say("attempt 1, to a closed port", "第 1 次尝试，发往关闭的端口")
        guard try call.subject.waitForTimeline({ $0.sends.first }) != nil else {
            throw Failure(
                expected: expected,
                got: Deadline.nothing())
        }
        try server.closeToOthers(false)
        let opened = now()
        let datagram = try server.expectDatagram(
            during: call, say("another attempt, once the port is open", "端口打开后的又一次尝试"))
        let attempt = try Attempt(datagram, nil, message, of: nil)
        // A send that tells of an earlier refusal has sent nothing: now that the port is open, the same attempt sent again
        // would have come.
        let untold = call.subject.timeline.calls.last {
            $0.isSend && $0.error == ECONNREFUSED && $0.entered > opened && $0.data.count >= 8
                && $0.data[4..<8].reduce(0) { $0 << 8 | UInt32($1) } < attempt.attempt
        }
        if let untold {
            throw Failure(
                expected: say(
                    "the attempt whose send failed with ECONNREFUSED, sent once more at once",
                    "send 以 ECONNREFUSED 失败的那次尝试，马上再发一次"),
                got: say("attempt \(attempt.attempt) is the next to come", "接着来的是第 \(attempt.attempt) 次尝试"),
                cause: "refused-send-not-repeated", detail: "\(untold.callText) = -1 ECONNREFUSED")
        }
        try server.send(attempt.answer(Array("here now".utf8)), to: attempt.sender)
        try call.expectAnswer(Array("here now".utf8), attempt: Int(attempt.attempt))
        try call.expectPauses(of: timeout, datagrams: Int(attempt.attempt))
        if call.keepsOneConnectedSocket { try trial.expectRefusedSendMadeAgain() }
    },
    Check("request-largest", suspects: [.bufferTooSmall]) { trial in
        let server = try trial.datagramPeer()
        let message = trial.random.letters(65_499)
        let call = try trial.ask("request", message, at: server.address, timeout: scaled(5_000), attempts: 2)
        let attempt = try server.expectAttempt(1, message, during: call)
        let payload = trial.random.bytes(65_499)
        try server.send(attempt.answer(payload), to: attempt.sender)
        try call.expectAnswer(payload, attempt: 1)
        try trial.expectThrown(
            EMSGSIZE, say("65,508 bytes do not fit into a datagram", "65,508 字节放不进一个数据报"), by: "request",
            server.asked(trial.random.letters(Trial.tooLong - 8), attempts: 1))
    },
    Check("request-ipv6", suspects: [.ipv4Only, .noRoomForAddress]) { trial in
        try trial.needsLoopback("::1")
        _ = try trial.exchange(with: try trial.datagramPeer(host: "::1"), Array("version six".utf8))
    },
    Check("request-eintr", suspects: [.interrupted]) { trial in
        let process = try trial.launch(plan: .threeInterrupts)
        _ = try trial.exchange(with: try trial.datagramPeer(), Array("again".utf8), in: process)
    },
    Check("request-descriptors", suspects: [.descriptorLeak, .noDeadline]) { trial in
        let process = try trial.launch(descriptorLimit: 64)
        let server = try trial.datagramPeer()
        let silent = try trial.datagramPeer()
        for _ in 0..<100 {
            _ = try trial.exchange(with: server, Array("again".utf8), in: process)
            let call = try trial.ask("request", [1], at: silent.address, timeout: 1, attempts: 1, in: process)
            try call.expectNoAnswer(after: 0, datagrams: 1)
        }
        try trial.expectNoSocket("request", silent.asked([1], attempts: 1))
    },
    Check("request-bad-network", suspects: [.noDeadline]) { trial in try trial.expectAnswersOverBadNetwork() },
]

extension PendingCall {
    /// A datagram of 0 bytes was the last that it took, and it threw what is no answer to any question.
    fileprivate func endedAtEmpty(_ outcome: PendingCall.Outcome) -> String? {
        guard case .threw(let type, _, _, _) = outcome, type != "RequestError",
            let last = subject.timeline.calls.last(where: { $0.isReceive && $0.returned != nil }), last.result == 0
        else { return nil }
        return "empty-taken-for-end"
    }

    /// - Parameter timeout: it should have waited for so long after its last datagram, in milliseconds.
    func expectAnswer(_ payload: [UInt8], attempt: Int, within timeout: Int? = nil) throws {
        let outcome = try outcome()
        var cause: String?
        if let timeout, case .threw("RequestError", "noAnswer", _, _) = outcome, try gaveUpEarly(timeout) {
            cause = "wait-cut-short"
        }
        try outcome.expectAnswer(payload, attempt: attempt, cause: cause)
    }
}

extension PendingCall.Outcome {
    func expectAnswer(_ payload: [UInt8], attempt: Int, cause: String? = nil) throws {
        let expected = say(
            "it returns \(quoted(payload)) (\(payload.count) bytes), attempt \(attempt)",
            "返回 \(quoted(payload))（\(payload.count) 字节），尝试号 \(attempt)")
        guard case .returned(.list(let values)) = self, values.count == 2, case .bytes(let bytes) = values[0],
            case .int(let answered) = values[1]
        else { throw Failure(expected: expected, got: text, cause: cause) }
        let got = say(
            "\(quoted(bytes)) (\(bytes.count) bytes), attempt \(answered)",
            "\(quoted(bytes))（\(bytes.count) 字节），尝试号 \(answered)")
        guard bytes == payload else {
            throw Failure(
                expected: expected, got: got, difference: byteDifference(expected: payload, got: bytes),
                cause: bytes.count == payload.count + 8 && Array(bytes.dropFirst(8)) == payload
                    ? "header-not-removed" : cause)
        }
        guard answered == attempt else { throw Failure(expected: expected, got: got, cause: "wrong-attempt-reported") }
    }
}

extension Cause {
    static let gaveUpOnRefusal = Cause("gave-up-on-refusal") { evidence in
        evidence.timeline.calls.last { $0.error == ECONNREFUSED }.map { $0.text(now: evidence.now) }
    }

    /// Interrupted in the middle, it went on to something else, or gave up.
    static let interrupted = Cause("eintr-not-retried") { evidence in
        let calls = evidence.timeline.calls
        for (index, call) in calls.enumerated() where call.error == EINTR {
            let next = calls[(index + 1)...].first { $0.thread == call.thread }
            let again = next.map { $0.name == call.name || !call.isSend && ($0.isReceive || $0.isWait) } ?? false
            if !again { return call.text(now: evidence.now) }
        }
        return nil
    }
}

extension PendingCall {
    /// All attempts go through one socket that is connected: there a refusal that comes late is what the next send returns.
    fileprivate var keepsOneConnectedSocket: Bool {
        let calls = subject.timeline.calls
        let connected = calls.filter { $0.name == "connect" && $0.result == 0 }.map(\.descriptor)
        return connected.count == 1 && calls.allSatisfy { !$0.isSend || $0.descriptor == connected[0] }
    }
}

extension Trial {
    /// The refusal of attempt 1 comes only after its time, and the send of attempt 2 tells of it.
    fileprivate func expectRefusedSendMadeAgain() throws {
        let server = try datagramPeer()
        let message = random.letters(20)
        let call = try ask(
            "request", message, at: server.address, timeout: scaled(200), attempts: 5,
            plan: .fail(.send, 2, with: ECONNREFUSED))
        let first = try server.expectAttempt(1, message, during: call)
        let expected = say(
            "attempt 2, whose first send failed with ECONNREFUSED", "第 2 次尝试，它的第一个 send 以 ECONNREFUSED 失败")
        let next = try Attempt(try server.expectDatagram(during: call, expected), nil, message, of: first)
        guard next.attempt == 2 else {
            throw Failure(
                expected: expected, got: say("attempt \(next.attempt)", "第 \(next.attempt) 次尝试"),
                cause: "refused-send-not-repeated")
        }
        try server.send(next.answer(Array("here now".utf8)), to: next.sender)
        try call.expectAnswer(Array("here now".utf8), attempt: 2)
    }

    /// One request that is answered at its first attempt.
    func exchange(with server: DatagramPeer, _ message: [UInt8], in process: Subject? = nil) throws -> Attempt {
        let call = try ask(
            "request", message, at: server.address, timeout: scaled(5_000), attempts: 3, in: process)
        let attempt = try server.expectAttempt(1, message, during: call)
        try server.send(attempt.answer(Array("answered".utf8)), to: attempt.sender)
        try call.expectAnswer(Array("answered".utf8), attempt: 1)
        try server.expectNothingMore(
            say("no second attempt after the answer", "得到回答后不再发送"), cause: "sent-more-than-once")
        return attempt
    }

    /// What is no answer comes first, then the answer: only the second counts, and no time is given away.
    ///
    /// - Parameter others: who sends the wrong ones; the server itself, if empty.
    /// - Parameter payload: of the answer.
    func expectPassedOver(
        _ server: DatagramPeer, from others: [DatagramPeer] = [], _ wrong: (Attempt) throws -> [[UInt8]],
        payload: [UInt8] = Array("the answer".utf8), _ expected: String, cause: String
    ) throws {
        let message = random.letters(20)
        let timeout = scaled(2_000)
        let call = try ask("request", message, at: server.address, timeout: timeout, attempts: 1)
        let attempt = try server.expectAttempt(1, message, during: call)
        for sender in others.isEmpty ? [server] : others {
            for datagram in try wrong(attempt) { try sender.send(datagram, to: attempt.sender) }
        }
        try server.send(attempt.answer(payload), to: attempt.sender)
        let outcome = try call.outcome()
        guard case .threw("RequestError", "noAnswer", _, _) = outcome else {
            return try outcome.expectAnswer(payload, attempt: 1, cause: call.endedAtEmpty(outcome) ?? cause)
        }
        let early = try call.gaveUpEarly(timeout)
        throw Failure(
            expected: expected + say(", and then takes the answer", "，然后接受真正的回答"), got: outcome.text,
            cause: early ? "wait-cut-short" : payload.isEmpty ? "header-only-refused" : nil)
    }
}
