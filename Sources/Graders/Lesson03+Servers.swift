// Lesson 03: the two UDP servers.
import Course
import GraderKit
import Sockets
import Wire

let lesson03UppercaseServer: [Check] = [
    serverCheck("uppercase-answers") { trial in
        let server = try trial.serve("uppercase-server")
        let client = try server.datagramClient()
        try client.send("Hello, udp!")
        try client.expect("HELLO, UDP!")
        for _ in 0..<3 {
            let message = trial.random.letters(.random(in: 1...40, using: &trial.random))
            try client.send(message)
            try client.expect(uppercased(message))
        }
    },
    serverCheck("uppercase-address") { trial in try trial.expectBoundAsAsked("uppercase-server") },
    serverCheck("uppercase-ipv6", suspects: [.ipv4Only]) { trial in
        try trial.needsLoopback("::1")
        let server = try trial.serve("uppercase-server", host: "::1")
        let client = try server.datagramClient()
        try client.send("version six")
        try client.expect("VERSION SIX")
    },
    serverCheck("uppercase-largest", suspects: [.bufferTooSmall]) { trial in
        let server = try trial.serve("uppercase-server")
        let client = try server.datagramClient()
        for count in [1025, 2049, 65_507] {
            let message = trial.random.letters(count)
            try client.send(message)
            try client.expect(uppercased(message))
        }
    },
    serverCheck("uppercase-empty", suspects: [.emptyTakenForEnd, .sizeTakenForNews]) { trial in
        let server = try trial.serve("uppercase-server")
        let client = try server.datagramClient()
        try client.send([])
        try client.expect([])
        try client.send("next")
        try client.expect("NEXT")
    },
    serverCheck("uppercase-bytes", suspects: [.decodedToString, .changedOtherBytes]) { trial in
        let server = try trial.serve("uppercase-server")
        let client = try server.datagramClient()
        // Valid UTF-8, not UTF-8, and every byte there is.
        var messages = ["caf\u{e9}, stra\u{df}e, 你好".utf8.map { $0 }, [0x61, 0xff, 0xc3, 0x62, 0x00, 0xe9, 0x7a]]
        messages.append((0...255).shuffled(using: &trial.random))
        for message in messages {
            try client.send(message)
            try client.expect(uppercased(message))
        }
    },
    serverCheck("uppercase-each-sender", suspects: [.answersMixedUp]) { trial in
        try trial.expectEachSenderAnswered("uppercase-server", clients: 50) { client, message in
            try client.expect(uppercased(message))
        }
    },
    serverCheck("uppercase-port-taken", suspects: [.bindErrorIgnored, .exitedItself]) { trial in
        try trial.expectCannotServe("uppercase-server")
    },
    serverCheck("uppercase-vanished-client", suspects: [.stoppedBySendError]) { trial in
        let server = try trial.serve("uppercase-server")
        for _ in 0..<20 {
            let gone = try server.datagramClient()
            try gone.send("nobody waits for this")
        }
        let client = try server.datagramClient()
        try client.send("still there?")
        try client.expect("STILL THERE?")
    },
    serverCheck("uppercase-failed-send", suspects: [.stoppedBySendError]) { trial in
        let server = try trial.serve("uppercase-server", plan: .fail(.send, 1, with: EHOSTUNREACH))
        try server.datagramClient().send("cannot be reached")
        // The failure is meant for this one, also where several threads receive.
        _ = try server.subject.waitForTimeline { timeline in timeline.calls.first(where: \.isSend) }
        let client = try server.datagramClient()
        // Where several processes share the socket, each has a first answer that fails.
        for _ in 1...32 {
            let before = server.subject.timeline.calls.filter(\.isSend).count
            try client.send("but i can")
            let answer = try server.subject.waitForTimeline { $0.calls.filter(\.isSend).dropFirst(before).first }
            guard let answer, answer.failed else { break }
        }
        try client.expect("BUT I CAN")
    },
    serverCheck("uppercase-eintr", suspects: [.interruptedCall]) { trial in
        let server = try trial.serve("uppercase-server", plan: .threeInterrupts)
        let client = try server.datagramClient()
        try client.send("again")
        try client.expect("AGAIN")
    },
    serverCheck("uppercase-idle") { trial in
        try trial.expectIdle("uppercase-server") { client, message in try client.expect(uppercased(message)) }
    },
    serverCheck("uppercase-descriptors", suspects: [.descriptorLeak]) { trial in
        let server = try trial.serve("uppercase-server", descriptorLimit: 64)
        let client = try server.datagramClient()
        for number in 1...1000 {
            try client.send("datagram \(number)")
            try client.expect("DATAGRAM \(number)")
        }
    },
]

let lesson03TimestampServer: [Check] = [
    serverCheck("timestamp-answers") { trial in
        let server = try trial.serve("timestamp-server")
        let client = try server.datagramClient()
        var last = 0
        for _ in 0..<3 {
            last = try client.expectTimestamp(trial.random.letters(12), after: last)
            // The next datagram shall arrive in another millisecond, or a clock that is read once would go unseen.
            poll(nil, 0, 3)
        }
    },
    serverCheck("timestamp-bytes", suspects: [.emptyTakenForEnd, .decodedToString]) { trial in
        let server = try trial.serve("timestamp-server")
        let client = try server.datagramClient()
        for message in [(0...255).shuffled(using: &trial.random), [], [0x61, 0xff, 0xc3, 0x62], Array("a b".utf8)] {
            try client.expectTimestamp(message)
        }
    },
    serverCheck("timestamp-each-sender", suspects: [.answersMixedUp]) { trial in
        try trial.expectEachSenderAnswered("timestamp-server", clients: 20) { client, message in
            try client.expectTimestamp(message, sent: true)
        }
    },
    serverCheck("timestamp-too-long", suspects: [.stoppedBySendError, .bufferTooSmall]) { trial in
        let server = try trial.serve("timestamp-server")
        let client = try server.datagramClient()
        try client.expectTimestamp(trial.random.letters(65_493))
        try client.send(trial.random.letters(65_507))
        // Answers come in the order of the questions: this one is next if there was none before it.
        try client.expectTimestamp(Array("the next one".utf8))
    },
    serverCheck("timestamp-address", suspects: [.ipv4Only, .bindErrorIgnored, .exitedItself]) { trial in
        try trial.expectBoundAsAsked("timestamp-server")
        try trial.expectCannotServe("timestamp-server")
        do { try trial.needsLoopback("::1") } catch is Unavailable { return }
        let server = try trial.serve("timestamp-server", host: "::1")
        try server.datagramClient().expectTimestamp(Array("version six".utf8))
    },
    serverCheck("timestamp-eintr", suspects: [.interruptedCall]) { trial in
        let server = try trial.serve("timestamp-server", plan: .threeInterrupts)
        try server.datagramClient().expectTimestamp(Array("again".utf8))
    },
    serverCheck("timestamp-idle") { trial in
        try trial.expectIdle("timestamp-server") { client, message in
            try client.expectTimestamp(message, sent: true)
        }
    },
]

// MARK: What both servers are asked

/// A check of a server: what goes wrong with any datagram may be the reason, after what this check suspects.
private func serverCheck(
    _ id: String, suspects: [Cause] = [], _ body: @escaping @Sendable (Trial) throws -> Void
) -> Check {
    let any: [Cause] = [
        .answeredElsewhere, .sentWholeBuffer, .noRoomForAddress, .repliesToFirstClient, .connectedServer,
    ]
    return Check(id, suspects: [.roomOfTheOneBefore] + suspects + any + [.readOnceOfOne], body: body)
}

extension FaultPlan {
    /// A signal interrupts receiving, waiting and sending, three times in a row each.
    static let threeInterrupts =
        FaultPlan.fail(.receive, 1, through: 3, with: EINTR) + .fail(.waitReady, 1, through: 3, with: EINTR)
        + .fail(.send, 1, through: 3, with: EINTR)
}

extension Trial {
    /// The server is bound to exactly the address and port that it was given.
    func expectBoundAsAsked(_ entry: String) throws {
        let (server, port) = try serveOnChosenPort(entry, SOCK_DGRAM)
        try expect(server.address.port, equals: port, say("the port that it is bound to", "绑定的端口"))
        #if os(Linux)
        let hosts = ["127.0.0.1", "127.0.0.2"]
        #else
        let hosts = ["127.0.0.1"]
        #endif
        for host in hosts {
            let server = try serve(entry, host: host)
            // As the tap saw it: a server on 0.0.0.0 would answer here as well.
            let bound = server.subject.timeline.served?.host ?? ""
            try expect(bound, equals: host, say("the address that it is bound to", "绑定的地址"))
        }
    }

    /// Without its port, or without a socket, the server says so.
    fileprivate func expectCannotServe(_ entry: String) throws {
        let holder = try datagramPeer()
        let port = holder.address.port
        try expectThrown(EADDRINUSE, say("port \(port) is taken", "端口 \(port) 已被占用"), by: entry, port: port)
        try expectThrown(
            EMFILE, say("socket fails with it", "socket 以此失败"), by: entry, plan: .fail(.socket, every: 1, with: EMFILE))
    }

    private func expectThrown(
        _ code: Int32, _ because: String, by entry: String, port: UInt16 = 0, plan: FaultPlan = .none
    ) throws {
        let expected = say(
            "it throws SocketError with \(errorName(code)): \(because)",
            "抛出 SocketError，code 为 \(errorName(code))：\(because)")
        switch try serveInVain(entry, port: port, plan: plan) {
        case .threw("SocketError", _, let thrown, _)? where isSaid(code, by: thrown): return
        case nil:
            throw Failure(expected: expected, got: say("it goes on and waits for clients", "它继续运行，等待客户端"))
        case .returned?:
            throw Failure(
                expected: expected, got: say("it returned as if all were well", "它像没事一样返回了"),
                cause: "bind-error-ignored")
        case let outcome?: throw Failure(expected: expected, got: outcome.text)
        }
    }

    /// Several clients write in turns, and each gets what belongs to it.
    func expectEachSenderAnswered(
        _ entry: String, clients count: Int, _ expect: (DatagramPeer, [UInt8]) throws -> Void
    ) throws {
        let server = try serve(entry)
        let clients = try (0..<count).map { _ in try server.datagramClient() }
        for round in 1...3 {
            var messages = clients.indices.map { Array("round \(round), client \($0), ".utf8) }
            for index in clients.indices.shuffled(using: &random) {
                messages[index] += random.letters(8)
                try clients[index].send(messages[index])
            }
            for (client, message) in zip(clients, messages) { try expect(client, message) }
        }
    }

    /// While nobody writes, the server neither computes nor calls.
    func expectIdle(_ entry: String, _ expect: (DatagramPeer, [UInt8]) throws -> Void) throws {
        let server = try serve(entry)
        let client = try server.datagramClient()
        try client.send("once")
        try expect(client, Array("once".utf8))
        let calls = server.subject.timeline.counts.values.reduce(0, +)
        let used = server.subject.cpuTime
        note(say("write nothing for half a second", "半秒钟不发任何数据"))
        poll(nil, 0, 500)
        let busy = Int((server.subject.cpuTime - used) / 1_000_000)
        let more = server.subject.timeline.counts.values.reduce(0, +) - calls
        guard busy >= 100 || more > 50 else { return }
        throw Failure(
            expected: say(
                "less than 100 ms of CPU time and at most 50 calls in 500 ms without a datagram",
                "500 毫秒没有数据报时，CPU 时间不到 100 毫秒，调用不超过 50 次"),
            got: say("\(busy) ms of CPU time, \(more) calls", "CPU 时间 \(busy) 毫秒，调用 \(more) 次"), cause: "busy-waiting")
    }
}

extension DatagramPeer {
    /// The answer to `message` is the time at which it arrived, a space, and the message. Sends it first, unless that was
    /// done.
    ///
    /// - Parameter last: the time that the answer before it named.
    /// - Returns: the time that it names.
    @discardableResult
    func expectTimestamp(_ message: [UInt8], sent: Bool = false, after last: Int = 0) throws -> Int {
        let before = milliseconds(CLOCK_REALTIME)
        if !sent { try send(message) }
        let form = say(
            "\"<milliseconds> \" and the \(message.count) bytes of the datagram",
            "“<毫秒数> ”加上数据报的 \(message.count) 个字节")
        guard let (bytes, sender) = try receive(expected: form) else {
            throw Failure(
                expected: form,
                got: Deadline.nothing())
        }
        let after = milliseconds(CLOCK_REALTIME)
        let got = say("\(quoted(bytes)), \(bytes.count) bytes", "\(quoted(bytes))，\(bytes.count) 字节")
        let digits = bytes.prefix { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
        guard let time = Int(String(decoding: digits, as: UTF8.self)), bytes.dropFirst(digits.count).first == 0x20
        else {
            throw Failure(expected: form, got: got, cause: "timestamp-form")
        }
        let rest = Array(bytes.dropFirst(digits.count + 1))
        guard rest == message else {
            let cut = bytes.count == 65_507 && message.count < 65_493
            throw Failure(
                expected: form, got: got, difference: byteDifference(expected: message, got: rest),
                cause: cut ? "answer-cut" : nil)
        }
        // A millisecond more, for those who round.
        // By the time of day: no clock was read before.
        let started = subject.map { after - Int(now() - $0.timeline.start) / 1_000_000 }
        if !sent && !(before...after + 1).contains(time) || sent && !(after - 60_000...after + 1).contains(time) {
            throw Failure(
                expected: say("a time from \(before) to \(after)", "从 \(before) 到 \(after) 之间的时间"),
                got: "\(time)", cause: timeMistake(time, last: last, before: before, now: after, started: started))
        }
        if let server, sender != server {
            throw Failure(
                expected: say("an answer from \(server)", "来自 \(server) 的回答"),
                got: say("the answer came from \(sender)", "回答来自 \(sender)"))
        }
        return time
    }

    private func timeMistake(_ time: Int, last: Int, before: Int, now: Int, started: Int?) -> String? {
        func isNear(_ number: Int) -> Bool { abs(time - number) < 60_000 }
        if last != 0 && time == last { return "clock-read-once" }
        if abs(time - now / 1000) < 60 || abs(time / 1000 - now) < 60_000 || abs(time / 1_000_000 - now) < 60_000 {
            return "wrong-unit"
        }
        if isNear(milliseconds(CLOCK_MONOTONIC)) || isNear(milliseconds(CLOCK_BOOTTIME)) { return "wrong-clock" }
        // Whole seconds, as of one who forgot tv_nsec; else a moment before the datagram was sent.
        if time % 1000 == 0, (before - 1000..<before).contains(time) { return "wrong-unit" }
        if let started, time < started { return "wrong-clock" }
        if (before - 60_000..<before).contains(time) { return "clock-read-once" }
        return nil
    }
}

private func milliseconds(_ clock: clockid_t) -> Int {
    var time = timespec()
    clock_gettime(clock, &time)
    return Int(time.tv_sec) * 1_000 + Int(time.tv_nsec) / 1_000_000
}
