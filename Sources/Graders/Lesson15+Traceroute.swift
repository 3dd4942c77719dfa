// Lesson 15: the checks of traceroute. The grader is the network and all its routers.
import Course
import Foundation
import GraderKit
import Sockets
import Wire

let tracerouteChecks: [Check] = [
    Check("trace-hops", suspects: [.noPacketSent, .answerPassedOver]) { trial in
        let play = try TracePlay(trial)
        let routers = ["10.1.0.1", "10.2.0.1", "10.3.0.1"]
        for (index, router) in routers.enumerated() { try play.exceed(try play.probe(index + 1), by: router) }
        try play.reply(try play.probe(4), by: "192.0.2.99")
        try play.expect(routers + ["192.0.2.99"])
    },
    Check("trace-silent", suspects: [.waitsForEver]) { trial in
        let play = try TracePlay(trial, timeout: 400)
        try play.exceed(try play.probe(1), by: "10.1.0.1")
        let silent = try play.probe(2)
        let third = try play.probe(3)
        // Too late: the third is being waited for.
        try play.exceed(silent, by: "10.2.0.1")
        try play.exceed(third, by: "10.3.0.1")
        try play.reply(try play.probe(4), by: "192.0.2.99")
        let hops = try play.hops()
        // A machine that stood still may make others late; the second can never be in time.
        guard hops.count >= 4, hops[1] == nil, hops[2] != "10.2.0.1" else {
            throw Failure(
                expected: say("nil for hop 2: its router answered too late", "第 2 跳是 nil：它的路由器回答得太晚"),
                got: hopsText(hops), cause: "late-answer-taken")
        }
        // Silence behind silence is waited for as long, by the program's own calls: how long we took does not count.
        let wall = try TracePlay(trial, mostHops: 3, timeout: 400)
        try wall.expect([nil, nil, nil])
        let probes = wall.call.subject.timeline.calls
            .filter { $0.isSend && $0.result >= 8 && $0.data.first == 8 }.suffix(3)
        for (number, (probe, next)) in zip(probes, probes.dropFirst()).enumerated() {
            let waited = Int(next.entered - probe.entered) / 1_000_000
            guard waited < 390 else { continue }
            throw Failure(
                expected: say("it waits for 400 ms after probe \(number + 1)", "第 \(number + 1) 个探测包之后等 400 毫秒"),
                got: say(
                    "probe \(number + 2) after \(waited) ms", "\(waited) 毫秒之后就发了第 \(number + 2) 个"),
                cause: waited < 20 ? "one-deadline-for-all" : "wait-cut-short")
        }
        // Every twentieth of a second a packet that is none of its business.
        let busy = try TracePlay(trial, mostHops: 1, timeout: 400)
        let probe = try busy.probe(1)
        let deadline = Deadline()
        while try !busy.call.isOver(within: 0.05) {
            try busy.send(.reply(busy.identifier &+ 1, 1), from: "10.9.0.1", to: probe)
            guard !deadline.hasPassed else {
                throw Failure(
                    expected: say("[nil] after 400 ms, whatever else arrives", "不管还有什么到达，400 毫秒后返回 [nil]"),
                    got: say("it still waits for the first answer", "它还在等第一个回答"), cause: "deadline-renewed")
            }
        }
        try busy.expect([nil])
    },
    Check("trace-others", suspects: [.crash(meaning: "packet-not-measured"), .noPacketSent, .answerPassedOver]) {
        trial in
        let play = try TracePlay(trial)
        let probe = try play.probe(1)
        var other = probe
        other.message = ICMPMessage.echo(8, play.identifier ^ 0x0100, 1, probe.payload).bytes
        try play.exceed(other, by: "10.9.0.1")
        other.message = ICMPMessage.echo(8, play.identifier, 2, probe.payload).bytes
        try play.exceed(other, by: "10.9.0.2")
        try play.send(.reply(play.identifier ^ 0x0100, 1), from: "10.9.0.3", to: probe)
        try play.send(.reply(play.identifier, 2), from: "10.9.0.4", to: probe)
        try play.send(.echo(8, play.identifier, 1, probe.payload), from: "10.9.0.5", to: probe)
        var damaged = ICMPMessage.error(11, quoting: IPv4Datagram(probe.message).bytes)
        damaged.checksumIsWrong = true
        try play.send(damaged, from: "10.9.0.6", to: probe)
        try play.send(
            .error(11, quoting: Array(IPv4Datagram(probe.message).bytes.prefix(27))), from: "10.9.0.7", to: probe)
        try play.peer.send([], to: probe.sender)
        _ = try play.call.subject.waitForTimeline(until: Deadline(in: 3)) { $0.receiveCount >= 8 ? true : nil }
        // It waits for the true answer, so it has sent nothing more.
        let silence = say("no next probe before the first one is answered", "第一个探测包得到回答之前不发下一个")
        switch try play.peer.receive(during: play.call, until: Deadline(in: 0), expected: silence) {
        case .nothing: break
        case .datagram:
            play.call.subject.catchUp()
            // What it had received when it sent the second one.
            let calls = play.call.subject.timeline.calls
            let second = calls.filter(\.isSend).dropFirst().first?.entered ?? .max
            let last = calls.last { $0.isReceive && $0.returned != nil && !$0.failed && $0.entered < second }
            throw Failure(
                expected: silence, got: say("one came", "来了一个"),
                cause: last?.result == 0 ? "empty-taken-for-end" : "any-answer-taken")
        case .outcome(let outcome): throw Failure(expected: silence, got: outcome.text, cause: "any-answer-taken")
        }
        try play.exceed(probe, by: "10.1.0.1")
        try play.reply(try play.probe(2), by: "192.0.2.99")
        try play.expect(["10.1.0.1", "192.0.2.99"], cause: "any-answer-taken")
    },
    Check("trace-ends", suspects: [.waitsForEver, .answerPassedOver, .goesOnPastTheEnd]) { trial in
        let most = try TracePlay(trial, mostHops: 2)
        try most.exceed(try most.probe(1), by: "10.1.0.1")
        try most.exceed(try most.probe(2), by: "10.2.0.1")
        try most.expect(["10.1.0.1", "10.2.0.1"], cause: "goes-on-past-the-end")

        let unreachable = try TracePlay(trial)
        try unreachable.exceed(try unreachable.probe(1), by: "10.1.0.1")
        let last = try unreachable.probe(2)
        try unreachable.send(.error(3, code: 1, quoting: IPv4Datagram(last.message).bytes), from: "10.2.0.1", to: last)
        try unreachable.expect(["10.1.0.1", "10.2.0.1"], cause: "goes-on-past-the-end")
    },
    Check("trace-loopback", suspects: [.waitsForEver, .requestWrong]) { trial in
        let call = try trial.begin("traceroute-host", [.string("127.0.0.1"), .int(5), .int(10_000)])
        let value = try trial.permitted(call, { canOpen(SOCK_RAW) })
        try trial.expect(
            hopsText(try readHops(value)), equals: hopsText(["127.0.0.1"]), say("the way to this machine", "到本机的路径"))
    },
]

private final class TracePlay {
    let trial: Trial
    let peer: DatagramPeer
    let call: PendingCall
    let identifier: UInt16
    /// A UDP socket that the program gets a copy of.
    private let socket: OwnedSocket
    /// What a router said last, and about which probe.
    private var exceeded: (probe: EchoDatagram, router: String)?

    init(_ trial: Trial, mostHops: Int = 10, timeout: Int = 10_000) throws {
        self.trial = trial
        identifier = UInt16.random(in: 1...0xFEFE, using: &trial.random) | 0x0001
        peer = try trial.datagramPeer()
        try peer.tellTimeToLive()
        socket = try OwnedSocket(AF_INET, SOCK_DGRAM)
        call = try trial.begin(
            "traceroute",
            [
                .passed(socket.descriptor), .string(peer.address.host), .int(Int(peer.address.port)),
                .unsigned(UInt64(identifier)), .int(mostHops), .int(timeout),
            ])
    }

    /// The next probe, which must have this number, and this TTL.
    func probe(_ hop: Int) throws -> EchoDatagram {
        let expected = say(
            "an echo request with TTL \(hop), identifier \(identifier), sequence \(hop)",
            "回显请求，TTL \(hop)，标识符 \(identifier)，序号 \(hop)")
        switch try peer.receive(during: call, expected: expected) {
        case .datagram(let datagram):
            let probe = try EchoDatagram(
                datagram, identifier: identifier, sequence: UInt16(hop), expected: expected)
            let timeToLive = peer.timeToLive ?? 0
            guard timeToLive == hop else {
                throw Failure(
                    expected: expected, got: say("it came with TTL \(timeToLive)", "到达时 TTL 是 \(timeToLive)"),
                    cause: "ttl-not-stepped")
            }
            return probe
        case .outcome(let outcome): throw Failure(expected: expected, got: outcome.text)
        case .nothing:
            throw Failure(
                expected: expected, got: say("nothing was sent", "什么也没有发来"),
                cause: try believesWholeQuote() ? "quote-should-be-whole" : nil)
        }
    }

    /// A router's "time exceeded", which quotes the probe's first eight bytes.
    func exceed(_ probe: EchoDatagram, by router: String) throws {
        exceeded = (probe, router)
        try exceed(probe, by: router, quoting: 28)
    }

    private func exceed(_ probe: EchoDatagram, by router: String, quoting count: Int) throws {
        var quoted = IPv4Datagram(probe.message)
        quoted.source = "192.0.2.10"
        quoted.destination = "192.0.2.99"
        try send(.error(11, quoting: Array(quoted.bytes.prefix(count))), from: router, to: probe)
    }

    /// It has passed over the last answer. Does it go on at the same, with all of the probe in it?
    private func believesWholeQuote() throws -> Bool {
        guard let (probe, router) = exceeded else { return false }
        try exceed(probe, by: router, quoting: .max)
        if case .datagram = try peer.receive(during: call, until: Deadline(in: 1), expected: "") { return true }
        return false
    }

    func reply(_ probe: EchoDatagram, by destination: String) throws {
        try send(.reply(identifier, probe.sequence, probe.payload), from: destination, to: probe)
    }

    func send(_ message: ICMPMessage, from source: String, to probe: EchoDatagram) throws {
        var packet = IPv4Datagram(message.bytes)
        packet.source = source
        try peer.send(packet.bytes, to: probe.sender)
    }

    func hops() throws -> [String?] { try readHops(try call.value()) }

    func expect(_ right: [String?], cause: String? = nil) throws {
        let expected = hopsText(right)
        let got = try readHops(try call.value(expecting: expected))
        guard got != right else { return }
        let isSender = got.contains { $0?.hasPrefix("127.") == true }
        throw Failure(expected: expected, got: hopsText(got), cause: isSender ? "address-of-the-sender" : cause)
    }
}

private func readHops(_ value: Value) throws -> [String?] {
    let list = try [value].list(0)
    return try list.indices.map { list[$0] == .none ? nil : try list.string($0) }
}

private func hopsText(_ hops: [String?]) -> String { "[" + hops.map { $0 ?? "nil" }.joined(separator: ", ") + "]" }

extension Cause {
    /// What came last was the answer to its only probe, and it goes on waiting.
    fileprivate static let answerPassedOver = Cause("reply-not-recognised") { evidence in
        let timeline = evidence.timeline
        guard timeline.calls.filter(\.isSend).count == 1,
            timeline.blocked.contains(where: { $0.isWait || $0.isReceive }),
            let last = timeline.calls.last(where: { $0.isReceive && $0.returned != nil }), last.result >= 28 + 28
        else { return nil }
        return "\(last.callText) = \(last.result)"
    }

    /// It has heard that the way ends, and sent one more probe.
    fileprivate static let goesOnPastTheEnd = Cause("goes-on-past-the-end") { evidence in
        let calls = evidence.timeline.calls
        guard let heard = calls.last(where: { $0.isReceive && $0.result > 0 })?.entered else { return nil }
        return calls.first { $0.isSend && $0.entered > heard }?.callText
    }
}
