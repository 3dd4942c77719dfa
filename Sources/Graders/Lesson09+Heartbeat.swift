// Lesson 09: the heartbeat. Protocol pings come in time, their pongs are matched, and who owes one is dropped.
import Course
import GraderKit
import Sockets
import Wire

private let heartbeat = Heartbeat()

let heartbeatOfLesson09Checks = heartbeatChecks.map {
    // Who answers a ping later than this is dropped, and our clients may not have been let run.
    $0.whereSilenceEnds(after: Double(heartbeat.timeout) / 1000)
}

private let heartbeatChecks: [Check] = [
    Check("heartbeat-pings", suspects: [.textForPing]) { trial in
        let server = try trial.serve("heartbeat-server")
        let silent = try server.connect()
        let client = try trial.join(server)
        var payloads: Set<[UInt8]> = []
        for number in 1...3 {
            let ping = try client.expectPing()
            // By the program's own calls: how long the grader took to look does not count.
            if number == 1,
                let took = server.subject.timeline.firstPing(after: { $0.starts(with: "HTTP/1.1 101".utf8) })
            {
                guard took >= heartbeat.interval - 100 else {
                    throw Failure(
                        expected: say(
                            "the first ping \(heartbeat.interval) ms after the handshake",
                            "握手 \(heartbeat.interval) ms 之后发出第一个 ping"),
                        got: say("it came after \(took) ms", "\(took) ms 后就来了"), cause: "pinged-too-early")
                }
            }
            payloads.insert(ping)
            try client.send(.pong, ping)
        }
        guard payloads.count == 3 else {
            throw Failure(
                expected: say("each ping has a payload of its own", "每个 ping 有自己的载荷"),
                got: say("only \(payloads.count) different in 3 pings", "3 个 ping 只有 \(payloads.count) 种载荷"),
                cause: "same-ping-again")
        }
        // Who has not shaken hands yet gets none: that would be no HTTP.
        let opened = try trial.shakeHands(silent)
        opened.stream.close()
    },
    Check("heartbeat-echoes", suspects: [.textForPing, .finalBitMissing, .sentLengthTurned, .neverPings]) { trial in
        let server = try trial.serve("heartbeat-server")
        // Before it is needed: a client that owes a pong has little time.
        let text = trial.random.letters(70_000)
        let client = try trial.join(server)
        try client.send("before")
        try client.expect("before")
        let ping = try client.expectPing()
        try client.send(.text, text)
        try client.send(.pong, ping)
        try client.send(.binary, [1, 2, 3])
        try client.expectEcho(.text, text)
        try client.expectEcho(.binary, [1, 2, 3])
    },
    Check("heartbeat-keeps", suspects: [.textForPing, .finalBitMissing, .neverPings, .pongNotRecognised]) { trial in
        let server = try trial.serve("heartbeat-server")
        // One that owed a pong has gone. Who comes now has its descriptor, most likely, and owes nothing.
        let gone = try trial.join(server)
        _ = try gone.expectPing()
        let withIt = server.subject.descriptorCount
        gone.stream.reset()
        _ = server.waitForDescriptors(withIt - 1)
        let clients = try (0..<5).map { _ in try trial.join(server) }
        // Longer than a client may owe a pong.
        let rounds = (heartbeat.timeout + 2 * heartbeat.interval) / heartbeat.interval + 1
        for _ in 0..<rounds {
            for client in clients { try client.send(.pong, try client.expectPing(cause: "pong-not-recognised")) }
        }
        for client in clients {
            try client.send("alive")
            try client.expectEcho(.text, Array("alive".utf8), cause: "pong-not-recognised")
        }
    },
    Check("heartbeat-drops-dead", suspects: [.textForPing, .finalBitMissing, .neverPings]) { trial in
        let server = try trial.serve("heartbeat-server")
        let (dead, alive) = (try trial.join(server), try trial.join(server))
        _ = try dead.expectPing()
        let deadline = now() + UInt64(Deadline.patience * Deadline.scale * 1e9)
        // The living one answers, and the dead one is looked at meanwhile.
        var isGone = false
        while !isGone {
            switch try alive.next(until: Deadline(at: now() + 20_000_000), expected: "") {
            case .frame(let frame) where frame.opcode == Opcode.ping.rawValue: try alive.send(.pong, frame.payload)
            case .frame(let frame):
                throw Failure(expected: say("pings on \(alive.name)", "\(alive.name)收到 ping"), got: frame.text)
            case .end, .broken:
                throw Failure(
                    expected: say("\(alive.name), which answers, is kept", "会回答的\(alive.name)被保留"),
                    got: say("it was closed", "它被关闭了"), cause: "pong-not-recognised")
            case .late: break
            }
            looking: while !isGone {
                switch try dead.next(until: Deadline(at: 0), expected: "") {
                case .frame: continue
                case .end, .broken: isGone = true
                case .late: break looking
                }
            }
            guard isGone || now() < deadline else {
                throw Failure(
                    expected: say("\(dead.name), which answers no ping, is closed", "不回答 ping 的\(dead.name)被关闭"),
                    got: say("it is still open", "它仍然开着"), cause: "dead-peer-kept")
            }
        }
        try expectInTime(server.subject.timeline.fromPingToEnd())
        try alive.send("alive")
        try alive.expectEcho(.text, Array("alive".utf8))
        // Who has answered one ping, and not the next: the time of that one counts.
        let second = try trial.serve("heartbeat-server")
        let fading = try trial.join(second)
        try fading.send(.pong, try fading.expectPing())
        try fading.expectDropped(cause: "dead-peer-kept") { _ in }
        try expectInTime(second.subject.timeline.fromPingToEnd(number: 2))
        // A pong that comes late is none for the pings that were sent since: both owe the second.
        let third = try trial.serve("heartbeat-server")
        let (prompt, late) = (try trial.join(third), try trial.join(third))
        try prompt.send(.pong, try prompt.expectPing())
        let owed = try late.expectPing()
        for _ in 0..<2 { _ = try late.expectPing(cause: "dropped-too-early") }
        try late.send(.pong, owed)
        let expected = 1 + (try prompt.expectDropped(cause: "dead-peer-kept") { _ in })
        let got = 3 + (try late.expectDropped(cause: "late-pong-for-all") { _ in })
        // They came a little apart, and a timer may lie in between.
        guard got <= expected + 1 else {
            throw Failure(
                expected: say(
                    "\(late.name), which answers the first ping after the third, is pinged \(expected) times, or once more",
                    "\(late.name)在第三个 ping 之后才回答第一个，它一共收到 \(expected) 个 ping，至多再多一个"),
                got: say("\(got) times, and closed then", "\(got) 个，然后才关闭"), cause: "late-pong-for-all")
        }
    },
    Check("heartbeat-later-pong", suspects: [.textForPing, .finalBitMissing, .neverPings]) { trial in
        let server = try trial.serve("heartbeat-server")
        let client = try trial.join(server)
        // A client that was busy answers the last ping only; the RFC permits that.
        for _ in 0..<4 {
            _ = try client.expectPing(cause: "later-pong-not-taken")
            let later = try client.expectPing(cause: "later-pong-not-taken", causeIfLate: "later-pong-not-taken")
            try client.send(.pong, later)
        }
        try client.send("alive")
        try client.expectEcho(.text, Array("alive".utf8), cause: "later-pong-not-taken")
    },
    Check("heartbeat-other-pongs", suspects: [.textForPing, .finalBitMissing, .neverPings]) { trial in
        let server = try trial.serve("heartbeat-server")
        let client = try trial.join(server)
        // A pong that nobody asked for is allowed.
        try client.send(.pong, Array("unasked".utf8))
        try client.send(.pong)
        try client.send("hello")
        try client.expectEcho(.text, Array("hello".utf8))
        // But no answer to a ping.
        try client.expectDropped(cause: "pong-payload-ignored") { ping in
            try client.send(.pong, ping.reversed() + [0])
        }
    },
    Check("heartbeat-data-is-no-pong", suspects: [.textForPing, .finalBitMissing, .neverPings]) { trial in
        let server = try trial.serve("heartbeat-server")
        let client = try trial.join(server)
        try client.expectDropped(cause: "data-taken-for-pong") { ping in
            try client.send("I speak, and answer no ping")
            // Not even a text that says so.
            try client.send(.text, Array("pong".utf8))
            try client.send(.ping, ping)
        }
    },
    Check("heartbeat-leaves-nothing", suspects: [.connectionLeak, .neverPings]) { trial in
        let server = try trial.serve("heartbeat-server", descriptorLimit: 100)
        for _ in 0..<4 {
            let dead = try (0..<30).map { _ in try trial.join(server) }
            for client in dead { try client.expectDropped(cause: "dead-peer-kept") }
        }
        let client = try trial.join(server)
        try client.send("hello")
        try client.expectEcho(.text, Array("hello".utf8))
    },
    Check("heartbeat-by-timer", suspects: [.pongNotRecognised, .pollsInsteadOfWaiting]) { trial in
        let server = try trial.serve("heartbeat-server")
        let client = try trial.join(server)
        try client.send(.pong, try client.expectPing())
        let before = (cpu: server.subject.cpuTime, calls: server.subject.timeline.callCount)
        for _ in 0..<3 { try client.send(.pong, try client.expectPing()) }
        let cpu = Int(server.subject.cpuTime - before.cpu) / 1_000_000
        let calls = server.subject.timeline.callCount - before.calls
        guard cpu < 150, calls <= 60 else {
            throw Failure(
                expected: say(
                    "at most 60 calls and 150 ms of CPU from one ping to the third after it",
                    "从一个 ping 到其后第三个 ping，调用不超过 60 次，CPU 不超过 150 ms"),
                got: say("\(calls) calls, \(cpu) ms of CPU", "调用 \(calls) 次，CPU \(cpu) ms"),
                cause: "polls-instead-of-waiting")
        }
    },
]

extension FramePeer {
    /// The next frame is a ping.
    ///
    /// - Parameter cause: of the end of the connection.
    fileprivate func expectPing(cause: String? = nil, causeIfLate: String? = nil) throws -> [UInt8] {
        let frame = try nextFrame(say("a ping frame", "一个 ping 帧"), causeIfLate: causeIfLate, causeIfEnded: cause)
        try checkMask(frame)
        guard frame.opcode == Opcode.ping.rawValue, frame.isFinal, frame.payload.count <= 125 else {
            let isPing = frame.opcode == Opcode.ping.rawValue && frame.payload.count <= 125
            let isText = frame.opcode == Opcode.text.rawValue || frame.opcode == Opcode.binary.rawValue
            throw Failure(
                expected: say("a ping frame on \(name)", "\(name)收到 ping 帧"), got: frame.text,
                cause: isPing ? "final-bit-wrong" : isText ? "text-for-ping" : nil)
        }
        return frame.payload
    }

    /// The next message, whatever pings come before it; they are answered.
    fileprivate func expectEcho(_ opcode: Opcode, _ payload: [UInt8], cause: String? = nil) throws {
        while true {
            let wanted = say("the echo of \(byteCount(payload.count))", "\(byteCount(payload.count))的回显")
            let frame = try nextFrame(wanted, cause: cause)
            if frame.opcode == Opcode.ping.rawValue {
                try send(.pong, frame.payload)
                continue
            }
            guard frame.opcode == opcode.rawValue, frame.payload == payload else {
                throw Failure(
                    expected: say("\(wanted) on \(name)", "\(name)收到 \(wanted)"), got: frame.text,
                    cause: frame.isRefusal ? "good-frame-refused" : cause)
            }
            return
        }
    }

    /// The connection ends, though every ping is reacted to in some way.
    ///
    /// - Returns: how many pings came.
    @discardableResult
    fileprivate func expectDropped(cause: String, onPing react: ([UInt8]) throws -> Void) throws -> Int {
        let expected = say("the program ends \(name), which answers no ping", "程序结束不回答 ping 的\(name)")
        var pings = 0
        let began = now()
        while true {
            switch try next(until: Deadline(), expected: expected) {
            case .end, .broken: return pings
            case .late:
                throw Failure(expected: expected, got: say("it is still open", "它仍然开着"), cause: cause)
            case .frame(let frame):
                guard frame.opcode == Opcode.ping.rawValue else { continue }
                pings += 1
                // Twice as many as it may owe, and time to drop it.
                guard pings <= 2 * (heartbeat.timeout / heartbeat.interval) + 3 else {
                    throw Failure(
                        expected: expected,
                        got: say("it is pinged on and on (\(pings) times)", "它一直被 ping（\(pings) 次）"), cause: cause)
                }
                // What is sent into a connection that is being closed fails, as it may.
                do { try react(frame.payload) } catch is Failure where now() > began { return pings }
            }
        }
    }
}

/// Nobody is closed before its time.
private func expectInTime(_ took: Int?) throws {
    guard let took, took < heartbeat.timeout - 100 else { return }
    throw Failure(
        expected: say(
            "it is closed \(heartbeat.timeout) ms after the ping that it owes",
            "在它欠下的那个 ping 之后 \(heartbeat.timeout) ms 才被关闭"),
        got: say("after \(took) ms", "\(took) ms 后"), cause: "dropped-too-early")
}

extension Timeline {
    /// From when the program can have read its clock for the first call, at the earliest: when it came back from its last
    /// wait before that. A busy machine may let it rest in between.
    private func milliseconds(_ first: Call, _ second: Call) -> Int {
        let before = calls.filter { $0.thread == first.thread && !$0.isSend && $0.returned ?? .max <= first.entered }
        let woken = (before.last(where: \.isWait) ?? before.last)?.returned
        return Int(second.entered - (woken ?? first.entered)) / 1_000_000
    }

    /// From a send of these bytes to the first ping on the same connection (ms); nil if they are not to be told apart.
    fileprivate func firstPing(after isFirst: ([UInt8]) -> Bool) -> Int? {
        guard let first = calls.firstIndex(where: { $0.isSend && isFirst($0.data) }),
            let ping = calls[first...].first(where: {
                $0.isSend && $0.descriptor == calls[first].descriptor && $0.data.first == 0x89
            })
        else { return nil }
        return milliseconds(calls[first], ping)
    }

    /// From a ping on the first connection that was ended behind so many to its end (ms).
    fileprivate func fromPingToEnd(number: Int = 1) -> Int? {
        for (index, end) in calls.enumerated() where end.name == "close" || end.name == "shutdown" {
            let pings = calls[..<index].filter {
                $0.isSend && $0.descriptor == end.descriptor && $0.process == end.process && $0.data.first == 0x89
            }
            if pings.count >= number { return milliseconds(pings[number - 1], end) }
        }
        return nil
    }
}

extension Cause {
    /// A message for the application, in place of a frame for the protocol.
    static let textForPing = Cause("text-for-ping") { evidence in
        let call = evidence.timeline.calls.last { call in
            call.isSend && call.data.count > 2 && call.data[0] == 0x81
                && String(decoding: call.data.dropFirst(2), as: UTF8.self).lowercased().hasPrefix("ping")
        }
        return call?.callText
    }

    static let neverPings = Cause("never-pings") { evidence in
        // Without FIN it is a ping still.
        let pinged = evidence.timeline.calls.contains { $0.isSend && $0.data.first.map { $0 & 0x7F } == 0x09 }
        guard !pinged, evidence.timeline.calls.contains(where: \.isSend) else { return nil }
        return evidence.timeline.blocked.last(where: { $0.isWait || $0.isReceive })?.callText ?? ""
    }

    /// It has received a pong, and closes the connection all the same.
    static let pongNotRecognised = Cause("pong-not-recognised") { evidence in
        guard evidence.failure.got.contains(say("closed", "关闭")) else { return nil }
        return evidence.timeline.calls.contains { $0.isReceive && $0.data.first == 0x8A } ? "" : nil
    }
}
