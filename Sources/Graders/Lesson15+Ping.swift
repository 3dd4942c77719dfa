// Lesson 15: the checks of ping. The grader is the network: the socket that the program gets leads to it, over UDP, so that
// every packet can be held back, damaged or forged, with no privilege at all. The last check is a real ping.
import Course
import Foundation
import GraderKit
import Sockets
import Wire

let pingChecks: [Check] = [
    Check("ping-times", suspects: [.noPacketSent]) { trial in
        for hasHeader in [false, true] {
            let began = now()
            let play = try PingPlay(trial, hasHeader: hasHeader, count: 3)
            var least: [UInt64] = []
            for sequence in 1...3 as ClosedRange<UInt16> {
                let request = try play.request(sequence)
                // Some time that must be in the result: the reply is on its way no earlier.
                let received = now()
                poll(nil, 0, 30)
                least.append(now() - received)
                try play.answer(request)
            }
            let times = try play.times()
            let all = now() - began
            for (index, time) in times.enumerated() {
                // One after another: what the others took at the least is not in this one.
                let most = all - (least.reduce(0, +) - least[index])
                let expected = say(
                    "a round-trip time of \(least[index] / 1000) to \(most / 1000) microseconds for request \(index + 1)",
                    "第 \(index + 1) 个请求的往返时间在 \(least[index] / 1000) 到 \(most / 1000) 微秒之间")
                guard let time else {
                    throw Failure(expected: expected, got: say("no answer", "没有回答"), cause: "reply-not-recognised")
                }
                guard time >= least[index], time <= most else {
                    throw Failure(
                        expected: expected, got: say("\(time / 1000) microseconds", "\(time / 1000) 微秒"),
                        cause: "wrong-clock-reading")
                }
            }
        }
    },
    Check("ping-others", suspects: [.crash(meaning: "packet-not-measured")]) { trial in
        for hasHeader in [false, true] {
            let play = try PingPlay(trial, hasHeader: hasHeader, count: 1)
            let request = try play.request(1)
            // The process is the same for both.
            let before = play.call.subject.timeline.receiveCount
            let received = now()
            try play.send(.reply(play.identifier ^ 0x0100, 1, request.payload), to: request)
            // Where both of its bytes are equal, the identifier is the same in either order.
            let swapped = play.identifier.byteSwapped
            try play.send(.reply(swapped == play.identifier ? swapped ^ 1 : swapped, 1, request.payload), to: request)
            try play.send(.reply(play.identifier, 2, request.payload), to: request)
            try play.send(.reply(play.identifier, 0x0100, request.payload), to: request)
            var damaged = ICMPMessage.reply(play.identifier, 1, request.payload)
            damaged.checksumIsWrong = true
            try play.send(damaged, to: request)
            try play.send(.echo(8, play.identifier, 1, request.payload), to: request)
            try play.send(.error(11, quoting: IPv4Datagram(request.message).bytes), to: request)
            try play.peer.send([], to: request.sender)
            try play.peer.send([0], to: request.sender)
            try play.peer.send(Array(IPv4Datagram([]).bytes.prefix(19)), to: request.sender)
            // They are taken before the true one is sent: whoever believes one of them is done by then.
            _ = try play.call.subject.waitForTimeline(until: Deadline(in: 3)) {
                $0.receiveCount >= before + 10 ? true : nil
            }
            let least = now() - received
            try play.answer(request)
            let times = try play.times()
            guard let time = times.first ?? nil, time >= least else {
                throw Failure(
                    expected: say(
                        "ten packets that are not the reply are passed over, and the reply after them is the answer",
                        "略过十个不是回答的数据包，之后的才是回答"),
                    got: times == [nil]
                        ? say("no answer", "没有回答") : say("an answer before the reply was sent", "回答发出之前就有了结果"),
                    cause: times == [nil]
                        ? "gave-up-on-noise"
                        // Who has received the reply, too, has passed over the ten before it.
                        : play.call.subject.timeline.receiveCount > before + 10
                            ? "wrong-clock-reading" : "any-answer-taken")
            }
        }
    },
    Check("ping-lost", suspects: [.waitsForEver]) { trial in
        let play = try PingPlay(trial, hasHeader: true, count: 3, timeout: 1000)
        try play.answer(try play.request(1))
        let lost = try play.request(2)
        // It is given up, and asked for no more; then its reply comes, and is taken before the third one's is sent.
        let third = try play.request(3)
        let received = now()
        // Without an answer it waits for a second from its own sending; only who has no time left comes back before.
        let hasGivenUp = try play.call.isOver(within: 0.2)
        let ended = now()
        try play.answer(lost)
        _ = try play.call.subject.waitForTimeline(until: Deadline(in: 1)) { $0.receiveCount >= 2 ? true : nil }
        let least = now() - received
        try play.answer(third)
        let times = try play.times()
        let sends = play.call.subject.timeline.calls.filter { $0.isSend && $0.result > 0 && $0.data.first == 8 }
        if hasGivenUp, times.count == 3, times[2] == nil, sends.count == 3, ended < sends[2].entered + 900_000_000 {
            throw Failure(
                expected: say(
                    "request 3 is waited for as long as the others, or until it is answered", "第 3 个请求和别的一样等满时间，或等到应答"),
                got: timesText(times), cause: "one-deadline-for-all")
        }
        guard times.count == 3, times[1] == nil, times[2].map({ $0 >= least }) ?? true else {
            // Who has received the third reply, too, has passed over the late one.
            let passedOver = times.count == 3 && times[1] == nil && play.call.subject.timeline.receiveCount >= 3
            throw Failure(
                expected: say(
                    "nil for request 2, and for request 3 no time before its own reply was sent",
                    "第 2 个请求是 nil；第 3 个请求的时间不早于它自己的应答发出"),
                got: timesText(times), cause: passedOver ? "wrong-clock-reading" : "late-answer-taken")
        }
    },
    Check("ping-deadline", suspects: [.waitsForEver]) { trial in
        let play = try PingPlay(trial, hasHeader: false, count: 2, timeout: 500)
        let first = try play.request(1)
        // Every twentieth of a second a packet that is none of its business, until it asks again.
        let deadline = Deadline()
        let expected = say(
            "request 2, 500 ms after request 1, whatever else arrives", "第 1 个请求之后 500 毫秒，不管还有什么到达，发出第 2 个")
        while true {
            try play.peer.send(ICMPMessage.reply(play.identifier &+ 1, 1).bytes, to: first.sender)
            switch try play.peer.receive(during: play.call, until: Deadline(in: 0.05), expected: expected) {
            case .datagram(let datagram):
                let second = try play.read(datagram, 2)
                try play.answer(second)
                _ = try play.times()
                return
            case .outcome(let outcome): throw Failure(expected: expected, got: outcome.text)
            case .nothing:
                guard deadline.hasPassed else { continue }
                throw Failure(
                    expected: expected, got: say("it still waits for the first reply", "它还在等第一个回答"),
                    cause: "deadline-renewed")
            }
        }
    },
    Check("ping-eintr", suspects: [.interruptedCall]) { trial in
        let thrice = [FaultPlan.Calls.receive, .send, .waitReady].map { FaultPlan.fail($0, 1, through: 3, with: EINTR) }
        let play = try PingPlay(trial, hasHeader: true, count: 1, plan: thrice.reduce(.none, +))
        try play.answer(try play.request(1))
        let times = try play.times()
        guard times.first ?? nil != nil else {
            throw Failure(expected: say("a round-trip time", "一个往返时间"), got: timesText(times))
        }
    },
    Check("ping-loopback", suspects: [.waitsForEver, .requestWrong]) { trial in
        let call = try trial.begin("ping-host", [.string("127.0.0.1"), .int(3), .int(10_000)])
        let times = try readTimes(try trial.permitted(call, canPing))
        guard times.count == 3, times.allSatisfy({ $0 != nil }) else {
            throw Failure(
                expected: say("three round-trip times from 127.0.0.1", "来自 127.0.0.1 的三个往返时间"), got: timesText(times),
                cause: "reply-not-recognised")
        }
        let wrong = try trial.begin("ping-host", [.string("::1"), .int(1), .int(100)])
        guard case .threw = try wrong.outcome() else {
            throw Failure(
                expected: say("::1 is no IPv4 address: it throws", "::1 不是 IPv4 地址：抛出错误"),
                got: say("it returned", "它返回了"))
        }
    },
]

/// The network between the program and nowhere.
private struct PingPlay {
    let trial: Trial
    let peer: DatagramPeer
    let call: PendingCall
    let hasHeader: Bool
    let identifier: UInt16

    init(_ trial: Trial, hasHeader: Bool, count: Int, timeout: Int = 10_000, plan: FaultPlan? = nil) throws {
        self.trial = trial
        self.hasHeader = hasHeader
        identifier = UInt16.random(in: 1...0xFEFE, using: &trial.random) | 0x0001
        peer = try trial.datagramPeer()
        call = try trial.begin(
            "ping",
            [
                .socket(type: SOCK_DGRAM, address: peer.address.bytes), .bool(hasHeader), .unsigned(UInt64(identifier)),
                .int(count), .int(timeout),
            ], plan: plan)
    }

    /// The next request, which must have this number.
    func request(_ sequence: UInt16) throws -> EchoDatagram {
        let expected = requestText(sequence)
        switch try peer.receive(during: call, expected: expected) {
        case .datagram(let datagram): return try read(datagram, sequence)
        case .outcome(let outcome): throw Failure(expected: expected, got: outcome.text)
        case .nothing: throw Failure(expected: expected, got: say("nothing was sent", "什么也没有发来"))
        }
    }

    func read(_ datagram: DatagramPeer.Datagram, _ sequence: UInt16) throws -> EchoDatagram {
        try EchoDatagram(datagram, identifier: identifier, sequence: sequence, expected: requestText(sequence))
    }

    func answer(_ request: EchoDatagram) throws {
        try send(.reply(identifier, request.sequence, request.payload), to: request)
    }

    func send(_ message: ICMPMessage, to request: EchoDatagram) throws {
        try peer.send(hasHeader ? IPv4Datagram(message.bytes).bytes : message.bytes, to: request.sender)
    }

    func times() throws -> [UInt64?] { try readTimes(try call.value()) }

    private func requestText(_ sequence: UInt16) -> String {
        say("an echo request, identifier \(identifier), sequence \(sequence)", "回显请求，标识符 \(identifier)，序号 \(sequence)")
    }
}

/// An echo request that the program has sent.
struct EchoDatagram {
    var message: [UInt8]
    var sequence: UInt16
    var sender: SocketAddress
    var payload: [UInt8] { Array(message.dropFirst(8)) }

    init(_ datagram: DatagramPeer.Datagram, identifier: UInt16, sequence: UInt16, expected: String) throws {
        let bytes = datagram.bytes
        let right = ICMPMessage.echo(8, identifier, sequence, Array(bytes.dropFirst(8))).bytes
        guard bytes.count >= 8, bytes == right else {
            throw Failure(
                expected: expected, got: hexText(Array(bytes.prefix(40))),
                difference: byteDifference(expected: right, got: bytes), cause: "request-wrong")
        }
        (message, self.sequence, sender) = (bytes, sequence, datagram.sender)
    }
}

private func readTimes(_ value: Value) throws -> [UInt64?] {
    let list = try [value].list(0)
    return try list.indices.map { list[$0] == .none ? nil : try list.unsigned($0, as: UInt64.self) }
}

private func timesText(_ times: [UInt64?]) -> String {
    "[" + times.map { $0.map { "\($0 / 1000) µs" } ?? "nil" }.joined(separator: ", ") + "]"
}

extension Trial {
    /// What a call returned that needs a permission. Skips the check where the system refuses it to the grader, too.
    func permitted(_ call: PendingCall, _ isPermitted: () -> Bool) throws -> Value {
        let outcome = try call.outcome(within: 30)
        switch outcome {
        case .returned(let value): return value
        case .threw("SocketError", _, let code, _)
        where [EPERM, EACCES, EPROTONOSUPPORT].contains(code) && !isPermitted():
            throw Unavailable(
                say(
                    "this system permits no raw sockets here (\(errorName(code))). Run as root, or: sudo setcap "
                        + "cap_net_raw+ep .build/debug/Lesson15 (again after each build); for ping alone: sudo sysctl "
                        + "net.ipv4.ping_group_range=\"0 2147483647\"",
                    "这里的系统不允许原始套接字（\(errorName(code))）。请用 root 运行，或者：sudo setcap cap_net_raw+ep "
                        + ".build/debug/Lesson15（每次构建后都要再做）；只要 ping 的话：sudo sysctl "
                        + "net.ipv4.ping_group_range=\"0 2147483647\""))
        case .threw: throw Failure(expected: say("it returns", "正常返回"), got: outcome.text)
        }
    }
}

/// Either kind of socket for ICMP echo.
private func canPing() -> Bool { canOpen(SOCK_DGRAM) || canOpen(SOCK_RAW) }

func canOpen(_ type: Int32) -> Bool {
    let descriptor = socket(AF_INET, type, IPPROTO_ICMP)
    if descriptor >= 0 { close(descriptor) }
    return descriptor >= 0
}

extension Timeline {
    /// How often something was received, be it empty.
    var receiveCount: Int { calls.filter { $0.isReceive && $0.returned != nil && $0.result >= 0 }.count }
}

extension Cause {
    static let noPacketSent = Cause("nothing-sent") { evidence in
        evidence.timeline.calls.contains(where: \.isSend) ? nil : ""
    }

    /// The first echo request: its checksum, or its number, which is 1.
    static let requestWrong = Cause("request-wrong") { evidence in
        guard let request = evidence.timeline.calls.first(where: { $0.isSend && $0.data.first == 8 }),
            request.data.count == request.length, request.length >= 8
        else { return nil }
        let bytes = request.data
        let right = ICMPMessage.echo(8, UInt16(bytes[4]) << 8 | UInt16(bytes[5]), 1, Array(bytes[8...])).bytes
        return bytes == right ? nil : hexText(bytes)
    }
}
