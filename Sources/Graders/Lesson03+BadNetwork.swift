// Lesson 03: `request` over a network that loses, repeats, delays and reorders.
import Course
import Foundation
import GraderKit
import Sockets
import Wire

extension Trial {
    /// Every call gets its own answer, and says which attempt it belongs to. Which attempt that is depends on time, so
    /// each outcome is held against what the network delivered, and when.
    func expectAnswersOverBadNetwork() throws {
        let timeout = scaled(40)
        let server = try datagramPeer()
        let log = DeliveryLog()
        let weather = DatagramNetwork.Weather(delay: timeout * 5 / 4...timeout * 3)
        let network = try DatagramNetwork(to: server.address, weather: weather, seed: random.next()) { log.add($0) }
        defer { network.close() }

        for number in 1...20 {
            let message = Array("question \(number), ".utf8) + random.letters(8)
            let began = now()
            let call = try ask("request", message, at: network.address, timeout: timeout, attempts: 15)
            let outcome = try server.answerQuestions(during: call)
            let sends = call.subject.timeline.sends.filter { $0.entered >= began }
            let lastMoment = (sends.last?.entered ?? 0) + UInt64(max(timeout - 20, 0)) * 1_000_000
            try judge(outcome, of: message, number, delivered: log.answers(to: message), before: lastMoment)
        }
    }

    private func judge(
        _ outcome: PendingCall.Outcome, of message: [UInt8], _ number: Int, delivered: [(attempt: Int, at: UInt64)],
        before lastMoment: UInt64
    ) throws {
        let attempts = delivered.map { "\($0.attempt)" }.joined(separator: ", ")
        let story = say(
            "call \(number): the network delivered answers to attempts [\(attempts)]",
            "第 \(number) 次调用：网络送达了对第 [\(attempts)] 次尝试的回答")
        note(story)
        let answer = uppercased(message)
        switch outcome {
        case .returned(.list(let values)) where values.count == 2:
            guard values[0] == .bytes(answer) else {
                var withHeader = false
                if case .bytes(let bytes) = values[0] { withHeader = Array(bytes.dropFirst(8)) == answer }
                throw Failure(
                    expected: story + say("; it returns \(quoted(answer))", "；返回 \(quoted(answer))"),
                    got: outcome.text,
                    cause: withHeader ? "header-not-removed" : "trusts-every-answer")
            }
            guard delivered.contains(where: { .int($0.attempt) == values[1] }) else {
                throw Failure(
                    expected: story + say("; it returns one of them", "；返回其中之一"),
                    got: say("attempt \(values[1].text)", "尝试号 \(values[1].text)"), cause: "wrong-attempt-reported")
            }
        case .threw("RequestError", "noAnswer", _, _):
            // An answer that came when the last attempt's time was nearly up may have been missed.
            guard !delivered.contains(where: { $0.at < lastMoment }) else {
                throw Failure(
                    expected: story + say("; it returns one of them", "；返回其中之一"), got: outcome.text,
                    cause: "late-answer-refused")
            }
        default: throw Failure(expected: story + say("; it returns one of them", "；返回其中之一"), got: outcome.text)
        }
    }
}

extension DatagramPeer {
    /// Plays the server until the call has come back: the same 8 bytes, and the rest in upper case.
    fileprivate func answerQuestions(during call: PendingCall) throws -> PendingCall.Outcome {
        let expected = say("an attempt, or the end of the call", "一次尝试，或者调用结束")
        while true {
            switch try receive(during: call, expected: expected) {
            case .outcome(let outcome): return outcome
            case .nothing:
                throw Failure(
                    expected: expected,
                    got: Deadline.nothing())
            case .datagram(let datagram):
                _ = try Attempt(datagram, nil, nil, of: nil)
                try send(
                    Array(datagram.bytes.prefix(8)) + uppercased(Array(datagram.bytes.dropFirst(8))),
                    to: datagram.sender)
            }
        }
    }
}

/// What the network has delivered to the program: kept by its thread, read by the check's.
private final class DeliveryLog: @unchecked Sendable {
    private let lock = NSLock()
    private var delivered: [(bytes: [UInt8], at: UInt64)] = []

    func add(_ event: DatagramNetwork.Event) {
        guard case .delivered(let datagram, let time) = event, datagram.direction == .toClient else { return }
        lock.withLock { delivered.append((datagram.bytes, time)) }
    }

    func answers(to message: [UInt8]) -> [(attempt: Int, at: UInt64)] {
        let answer = uppercased(message)
        return lock.withLock { delivered }.filter { Array($0.bytes.dropFirst(8)) == answer }.map { entry in
            (entry.bytes[4..<8].reduce(0) { $0 << 8 | Int($1) }, entry.at)
        }
    }
}
