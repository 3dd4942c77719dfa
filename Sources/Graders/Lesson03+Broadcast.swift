// Lesson 03: one datagram to everybody, and who answers it.
import Course
import GraderKit
import Sockets
import Wire

let lesson03Broadcast: [Check] = [
    broadcastCheck("broadcast-reaches-all") { trial in
        // Bound to the broadcast address, they get nothing that is sent to one machine alone.
        let first = try trial.datagramPeer(host: everybody, sharing: true)
        let second = try trial.datagramPeer(host: everybody, port: first.address.port, sharing: true)
        for message in [trial.random.letters(30), []] {
            let call = try trial.begin("broadcast", [.bytes(message), .int(Int(first.address.port))])
            try call.expectNothingThrown()
            for peer in [first, second] {
                try peer.expectCopy(of: message, during: call)
                try peer.expectNothingMore(say("one datagram", "只有一个数据报"), cause: "sent-more-than-once")
            }
        }
    },
    broadcastCheck("broadcast-too-long") { trial in
        let peer = try trial.datagramPeer(host: everybody, sharing: true)
        let message = trial.random.letters(65_508)
        let call = try trial.begin("broadcast", [.bytes(message), .int(Int(peer.address.port))])
        let expected = say(
            "it throws SocketError with EMSGSIZE: 65,508 bytes do not fit into a datagram",
            "抛出 SocketError，code 为 EMSGSIZE：65,508 字节放不进一个数据报")
        switch try call.outcome() {
        case .threw("SocketError", _, EMSGSIZE, _): return
        case .returned: throw Failure(expected: expected, got: say("it returned", "正常返回"), cause: "send-error-ignored")
        case let outcome: throw Failure(expected: expected, got: outcome.text)
        }
    },
    broadcastCheck("broadcast-descriptors", suspects: [.descriptorLeak]) { trial in
        let process = try trial.launch(descriptorLimit: 64)
        let peer = try trial.datagramPeer(host: everybody, sharing: true)
        for _ in 0..<300 {
            let call = try trial.begin(
                "broadcast", [.bytes([1, 2, 3]), .int(Int(peer.address.port))], in: process)
            try call.expectNothingThrown()
            try peer.expectCopy(of: [1, 2, 3], during: call)
        }
        // Throwing is a way out, too.
        let long = trial.random.letters(65_508)
        for _ in 0..<100 {
            let call = try trial.begin("broadcast", [.bytes(long), .int(Int(peer.address.port))], in: process)
            try trial.expect(call, throws: EMSGSIZE)
        }
        try trial.expectNoSocket("broadcast", [.bytes([1, 2, 3]), .int(Int(peer.address.port))])
    },
]

let lesson03Discover: [Check] = [
    broadcastCheck("discover-question") { trial in
        let listener = try trial.datagramPeer(host: everybody, sharing: true)
        let call = try trial.discover(at: listener, timeout: scaled(200))
        try listener.expectQuestion(during: call)
        _ = try call.found()
        try listener.expectNothingMore(say("one datagram", "只发一个数据报"), cause: "sent-more-than-once")
        // Nobody was asked: that nobody answers says nothing.
        try trial.expectThrown(
            ENETUNREACH, say("sendto fails with it", "sendto 以此失败"), by: "discover",
            [.int(Int(listener.address.port)), .int(100)], plan: .fail(.send, every: 1, with: ENETUNREACH))
    },
    broadcastCheck("discover-finds-all", suspects: [.emptyTakenForEnd]) { trial in
        try trial.expectDiscovered { people, asker, deadline in
            for (index, peer) in people.dropLast().enumerated() {
                try peer.send(index == 0 ? [] : Array("here is \(index)".utf8), to: asker)
            }
            // Nothing to be heard here: this waits.
            _ = try people[0].receive(until: deadline, expected: "")
            try people[people.count - 1].send(Array("sorry, late".utf8), to: asker)
            return people.enumerated().map { index, peer in
                let answer = index == 0 ? "" : index == people.count - 1 ? "sorry, late" : "here is \(index)"
                return Found(peer, Array(answer.utf8))
            }
        }
    },
    broadcastCheck("discover-once-each") { trial in
        try trial.expectDiscovered { people, asker, _ in
            for round in 1...3 {
                for peer in people { try peer.send(Array("answer \(round)".utf8), to: asker) }
            }
            return people.map { Found($0, Array("answer 1".utf8)) }
        }
    },
    broadcastCheck("discover-nobody") { trial in
        let listener = try trial.datagramPeer(host: everybody, sharing: true)
        let timeout = scaled(300)
        let call = try trial.discover(at: listener, timeout: timeout)
        try listener.expectQuestion(during: call)
        let found = try call.found()
        let end = now()
        try trial.expect(found, equals: [], say("what it returns if nobody answers", "没有人回答时的返回值"))
        if let sent = try call.subject.waitForTimeline({ $0.sends.last }) {
            try call.expectWait(timeout, from: sent, until: end)
        }
    },
    broadcastCheck("discover-deadline") { trial in
        let listener = try trial.datagramPeer(host: everybody, sharing: true)
        let talker = try trial.datagramPeer()
        let call = try trial.discover(at: listener, timeout: scaled(300))
        let asker = try listener.expectQuestion(during: call)
        let expected = say("it returns when the time is up, though answers go on", "尽管回答源源不断，时间一到就返回")
        let patience = Deadline()
        while true {
            try talker.send(Array("still here".utf8), to: asker)
            switch try listener.receive(during: call, until: Deadline(in: 0.02), expected: expected) {
            case .outcome(let outcome):
                let found = try outcome.found()
                guard found != [Found(talker, Array("still here".utf8))] else { return }
                throw Failure(
                    expected: say("one entry: the one who answered", "一项：回答的那一个"),
                    got: say("\(found.count) entries", "\(found.count) 项"),
                    cause: found.isEmpty ? call.connectedToEverybody : "counts-answers")
            case .datagram, .nothing:
                if patience.hasPassed {
                    throw Failure(
                        expected: expected, got: say("it is still running after 10 s", "10 秒后仍在运行"),
                        cause: "timeout-restarts")
                }
            }
        }
    },
    broadcastCheck("discover-eintr", suspects: [.interrupted]) { trial in
        let listener = try trial.datagramPeer(host: everybody, sharing: true)
        let call = try trial.discover(at: listener, timeout: scaled(1_000), plan: .threeInterrupts)
        let asker = try listener.expectQuestion(during: call)
        let peer = try trial.datagramPeer()
        try peer.send(Array("me".utf8), to: asker)
        let found = try call.found()
        try trial.expect(
            found, equals: [Found(peer, Array("me".utf8))], say("who was found", "找到的人"),
            cause: found.isEmpty ? call.connectedToEverybody : nil)
    },
    broadcastCheck("discover-descriptors", suspects: [.descriptorLeak]) { trial in
        let process = try trial.launch(descriptorLimit: 64)
        let listener = try trial.datagramPeer(host: everybody, sharing: true)
        for _ in 0..<100 {
            let call = try trial.discover(at: listener, timeout: 1, in: process)
            try listener.expectQuestion(during: call)
            _ = try call.found()
        }
        try trial.expectNoSocket("discover", [.int(Int(listener.address.port)), .int(1)])
    },
]

// MARK: Broadcast

/// A check of `broadcast` or `discover`: without permission, or sent elsewhere, nobody hears it.
private func broadcastCheck(
    _ id: String, suspects: [Cause] = [], _ body: @escaping @Sendable (Trial) throws -> Void
) -> Check {
    Check(id, suspects: suspects + [.noPermissionToBroadcast, .notTheBroadcastAddress, .noDeadline], body: body)
}

private let everybody = "127.255.255.255"

extension PendingCall {
    /// The cause, if its socket was connected and so hears nobody but the broadcast address.
    fileprivate var connectedToEverybody: String? {
        subject.timeline.calls("connect").contains { $0.result == 0 } ? "connected-to-everybody" : nil
    }

    /// It has done its work, and nothing went wrong.
    func expectNothingThrown() throws {
        let outcome = try outcome()
        guard case .returned = outcome else {
            let sent = subject.timeline.sends.last
            throw Failure(
                expected: say("it sends and returns", "发送后正常返回"), got: outcome.text,
                cause: sent?.length == 0 && sent?.result == 0 ? "zero-taken-for-failure" : nil)
        }
    }
}

extension DatagramPeer {
    /// One copy of what was sent to many. The call is over, so it is here, or it was not sent.
    func expectCopy(of message: [UInt8], during call: PendingCall) throws {
        let expected = say(
            "\(quoted(message)), \(message.count) bytes, to \(address)",
            "\(address) 收到 \(quoted(message))，\(message.count) 字节")
        guard let (bytes, _) = try receive(until: Deadline(in: 1), expected: expected) else {
            let isSent = call.subject.timeline.calls.contains { $0.isSend && $0.length == 0 }
            throw Failure(
                expected: expected, got: say("nothing", "什么也没有"),
                cause: message.isEmpty && !isSent ? "empty-not-sent" : nil)
        }
        guard bytes == message else {
            throw Failure(
                expected: expected, got: quoted(bytes), difference: byteDifference(expected: message, got: bytes))
        }
    }

    /// The question of `discover`; returns who asks.
    @discardableResult
    func expectQuestion(during call: PendingCall) throws -> SocketAddress {
        let question = Array("WHO IS THERE?".utf8)
        let expected = say("\(quoted(question)) to \(address)", "\(address) 收到 \(quoted(question))")
        let (bytes, sender) = try expectDatagram(during: call, expected)
        guard bytes == question else {
            throw Failure(
                expected: expected, got: quoted(bytes), difference: byteDifference(expected: question, got: bytes),
                cause: bytes.starts(with: question) ? "question-with-more" : nil)
        }
        return sender
    }
}

// MARK: Discovery

/// `Discovered`, as it comes over the control line.
struct Found: Hashable, CustomStringConvertible {
    var address: String
    var answer: [UInt8]
    var host: Substring { address.prefix { $0 != ":" } }

    init(_ peer: DatagramPeer, _ answer: [UInt8]) {
        address = peer.address.description
        self.answer = answer
    }

    init?(_ value: Value) {
        guard case .list(let parts) = value, parts.count == 3, case .string(let host) = parts[0],
            case .int(let port) = parts[1], case .bytes(let answer) = parts[2]
        else { return nil }
        address = "\(host):\(port)"
        self.answer = answer
    }

    var description: String { "\(address) \(quoted(answer))" }
}

extension PendingCall {
    func found() throws -> [Found] { try outcome().found() }
}

extension PendingCall.Outcome {
    func found() throws -> [Found] {
        guard case .returned(.list(let values)) = self else {
            var nobody = false
            if case .threw("RequestError", "noAnswer", _, _) = self { nobody = true }
            throw Failure(
                expected: say("it returns who was found", "返回找到的人"), got: text,
                cause: nobody ? "nobody-is-no-error" : nil)
        }
        return values.compactMap(Found.init).sorted { $0.description < $1.description }
    }
}

extension Trial {
    func discover(
        at listener: DatagramPeer, timeout: Int, plan: FaultPlan? = nil, in process: Subject? = nil
    ) throws -> PendingCall {
        try begin("discover", [.int(Int(listener.address.port)), .int(timeout)], plan: plan, in: process)
    }

    /// Five answer, and `discover` finds them.
    ///
    /// - Parameter answer: sends the answers, of which those after the deadline are late ones; returns who must be found.
    func expectDiscovered(
        _ answer: ([DatagramPeer], _ asker: SocketAddress, Deadline) throws -> [Found]
    ) throws {
        let listener = try datagramPeer(host: everybody, sharing: true)
        #if os(Linux)
        let hosts = ["127.0.0.1", "127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"]
        #else
        let hosts = [String](repeating: "127.0.0.1", count: 5)
        #endif
        // Should this machine be so busy that the grader itself was late, it tries again.
        for _ in 0..<5 {
            let people = try hosts.map { try datagramPeer(host: $0) }
            let call = try discover(at: listener, timeout: scaled(1_000))
            let asker = try listener.expectQuestion(during: call)
            let asked = try call.subject.waitForTimeline { $0.sends.last?.entered } ?? now()
            let expected = try answer(people, asker, Deadline(in: 0.3))
            let inTime = now() < asked + UInt64(scaled(800)) * 1_000_000
            let found = try call.found()
            if !inTime { continue }
            let all = expected.sorted { $0.description < $1.description }
            guard found != all else { return }
            throw notThose(all, found, cause: found.isEmpty ? call.connectedToEverybody : nil)
        }
        throw LabError(say("this machine is too busy: try LAB_TIME_SCALE=4", "这台机器太忙：请试试 LAB_TIME_SCALE=4"))
    }
}

/// Who is missing, who was counted wrongly, and which of the two mistakes that is.
private func notThose(_ all: [Found], _ found: [Found], cause: String?) -> Failure {
    let missing = all.filter { !found.contains($0) }
    let surplus = found.filter { !all.contains($0) }
    let twice = found.count - Set(found).count
    // Those of whom nothing was taken, though somebody else at their host was found: taken for the same sender.
    let known = Set(found.map(\.address))
    let absent = missing.filter { !known.contains($0.address) }
    let sameHost = absent.filter { one in found.contains { $0.host == one.host } }
    let mistake: String
    if !missing.isEmpty && missing.allSatisfy(\.answer.isEmpty) && surplus.isEmpty {
        mistake = "empty-taken-for-end"
    } else {
        mistake = absent.count > sameHost.count ? "stops-at-first-answer" : "counts-answers"
    }
    return Failure(
        expected: say("these: ", "这些：") + all.map(\.description).joined(separator: "; "),
        got: [
            missing.isEmpty ? nil : say("missing: ", "缺少：") + missing.map(\.description).joined(separator: "; "),
            surplus.isEmpty ? nil : say("wrong: ", "错误：") + surplus.map(\.description).joined(separator: "; "),
            twice == 0 ? nil : say("\(twice) counted again", "重复计数 \(twice) 个"),
        ].compactMap { $0 }.joined(separator: say(". ", "。")),
        cause: cause ?? mistake)
}
