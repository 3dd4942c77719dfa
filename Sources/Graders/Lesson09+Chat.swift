// Lesson 09: the chat server. Every member is a raw connection of the grader's; what each of them gets is compared byte for
// byte.
import Course
import GraderKit
import Sockets
import Wire

let chatServerOfLesson09Checks: [Check] =
    chatChecks
    + streamServerChecks(
        "chat-server", prefix: "chat", exchange: pingAndPong, suspects: Cause.sentFrames)

/// What a server that speaks to others answers to the one who asks.
private let pingAndPong: Exchange = {
    let payload = Array("are you there?".utf8)
    var exchange = Exchange(
        question: wireFrame(Opcode.ping.rawValue, payload, mask: [0x37, 0xFA, 0x21, 0x3D])
    ) { client in
        try client.expect(frame: wireFrame(Opcode.pong.rawValue, payload))
    }
    exchange.opening = oneMessage.opening
    exchange.isGoodbye = oneMessage.isGoodbye
    return exchange
}()

private let chatChecks: [Check] = [
    Check("chat-to-others", suspects: Cause.chat) { trial in
        let server = try trial.serve("chat-server")
        let members = try trial.room(server, 3)
        for (index, sender) in members.enumerated() {
            let (text, bytes) = (trial.random.letters(200), trial.random.bytes(300))
            try sender.send(.text, text)
            try sender.send(.binary, bytes)
            for (other, member) in members.enumerated() where other != index {
                try member.expect(.text, text)
                try member.expect(.binary, bytes)
            }
            try sender.expectNothingBefore(cause: "sender-hears-itself")
        }
        for member in members { try member.expectNothingBefore(cause: "message-doubled") }
    },
    Check("chat-to-all", suspects: Cause.chat) { trial in
        let server = try trial.serve("chat-server-to-all")
        let members = try trial.room(server, 3)
        for sender in members {
            let text = trial.random.letters(100)
            try sender.send(.text, text)
            for member in members { try member.expect(.text, text) }
        }
        for member in members { try member.expectNothingBefore() }
    },
    Check("chat-members-only", suspects: Cause.chat) { trial in
        let server = try trial.serve("chat-server")
        let members = try trial.room(server, 2)
        let late = try server.connect()
        let request = upgradeRequest()
        let before = server.subject.timeline.received
        try late.send(Array(request.prefix(40)))
        // It knows of the newcomer by then.
        _ = try server.subject.waitForTimeline(until: Deadline(in: 2)) { $0.received >= before + 40 ? true : nil }
        try members[0].send("before")
        try members[1].expect("before")
        try late.send(Array(request.dropFirst(40)))
        // The answer comes first, and nothing that was said before it.
        let third = try trial.finishOpening(late)
        try third.expectNothingBefore(cause: "heard-before-joining")
        try members[0].send("after")
        for member in [members[1], third] { try member.expect("after") }
    },
    Check("chat-origin", suspects: Cause.chat) { trial in
        let server = try trial.serve("chat-server")
        let member = try trial.join(server, origin: "http://localhost:8765")
        for origin in ["http://evil.example", "http://localhost:8765.evil.example", "http://localhost", "null"] {
            let stranger = try server.connect()
            try stranger.send(upgradeRequest(origin: origin))
            let expected = say("an answer 403 to Origin: \(origin)", "对 Origin: \(origin) 回答 403")
            let (head, _) = try stranger.receiveHead(expected)
            guard head.hasPrefix("HTTP/1.1 403 ") else {
                let mistake =
                    origin.hasPrefix("http://localhost:8765") ? "origin-by-its-beginning" : "origin-unchecked"
                throw Failure(
                    expected: expected, got: quoted(Array(head.utf8), most: 40),
                    cause: head.hasPrefix("HTTP/1.1 101 ") ? mistake : nil)
            }
            _ = try stranger.receiveToEnd()
        }
        // Who is no browser sends no Origin, and may come in.
        let program = try trial.join(server)
        try program.send("hello")
        try member.expect("hello")
    },
    Check("chat-page", suspects: Cause.chat) { trial in
        let server = try trial.serve("chat-server")
        for target in ["/", "/chat?room=1"] {
            try server.connect().expectPage(ChatRules.smallPage, for: target)
        }
        // Without a page there is nothing but a WebSocket here.
        let bare = try trial.serve("chat-server-to-all")
        let browser = try bare.connect()
        try browser.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        let expected = say("an answer 426", "回答 426")
        let (head, _) = try browser.receiveHead(expected)
        guard head.hasPrefix("HTTP/1.1 426 ") else {
            throw Failure(expected: expected, got: quoted(Array(head.utf8), most: 40))
        }
    },
    Check("chat-fragments", suspects: Cause.chat) { trial in
        let server = try trial.serve("chat-server")
        let members = try trial.room(server, 2)
        let text = Array("a message of several parts: 分片".utf8)
        // The last character is cut in two, and a ping comes between the parts.
        try members[0].send(.text, Array(text.prefix(10)), isFinal: false)
        try members[0].send(.ping, Array("between".utf8))
        try members[0].expect(.pong, Array("between".utf8))
        try members[0].send(.continuation, Array(text[10..<(text.count - 1)]), isFinal: false)
        try members[0].send(.continuation, Array(text.suffix(1)))
        try members[1].expect(.text, text, cause: "fragments-passed-on")
        // Pings and pongs are between two neighbours: nobody else hears of them.
        try members[1].expectNothingBefore(cause: "control-passed-on")
    },
    Check("chat-order", suspects: Cause.chat) { trial in
        let server = try trial.serve("chat-server")
        let (senders, listeners) = (try trial.room(server, 4), try trial.room(server, 3))
        let rounds = 100
        let lengths = (0..<rounds).map { _ in Int.random(in: 0...300, using: &trial.random) }
        let fill = lengths.map { trial.random.letters($0) }
        func message(_ sender: Int, _ number: Int) -> [UInt8] { Array("\(sender) \(number) ".utf8) + fill[number] }
        for number in 0..<rounds {
            for (index, sender) in senders.enumerated() { try sender.send(.text, message(index, number)) }
        }
        for listener in listeners { try listener.expectInOrder(from: senders.indices, count: rounds, message) }
        for (index, sender) in senders.enumerated() {
            try sender.expectInOrder(
                from: senders.indices.filter { $0 != index }, count: rounds, own: index, message)
        }
        for member in senders + listeners { try member.expectNothingBefore(cause: "message-doubled") }
    },
    Check("chat-crowd", suspects: [.smallBacklog] + Cause.chat) { trial in
        // Six a member: its connection, a copy of it, a pair to wake its thread, and some room.
        let server = try trial.serve("chat-server", descriptorLimit: trial.descriptors(for: 300, each: 6))
        let members = try trial.room(server, 300)
        for sender in [0, 150, 299] {
            let text = trial.random.letters(100)
            try members[sender].send(.text, text)
            for index in members.indices where index != sender { try members[index].expect(.text, text) }
        }
        // All at once, since it is stopped meanwhile: everybody hears 299 others.
        try server.subject.pause()
        for (index, member) in members.enumerated() { try member.send("I am \(index)") }
        server.subject.resume()
        for (index, member) in members.enumerated() {
            try member.expectInOrder(from: members.indices.filter { $0 != index }, count: 1, own: index) { sender, _ in
                Array("I am \(sender)".utf8)
            }
        }
    },
    Check("chat-slow-member", suspects: [.broadcastUnderLock, .slowMemberBlocksAll] + Cause.chat) { trial in
        let server = try trial.serve("chat-server")
        let members = try trial.room(server, 2)
        let slow = try trial.join(server, smallBuffers: true)
        // More than the kernel keeps for it, less than the server must.
        let messages = (0..<16).map { _ in trial.random.letters(60_000) }
        for message in messages {
            try members[0].send(.binary, message)
            try members[1].expect(.binary, message)
            // It can still speak, and so can the others.
            try members[1].send("heard")
            try members[0].expect("heard")
        }
        // It was slow, not away: nothing is missing.
        let lost = "message-lost-for-slow-member"
        for message in messages {
            for (opcode, payload) in [(Opcode.binary, message), (.text, Array("heard".utf8))] {
                try slow.expect(opcode, payload, cause: lost, causeIfLate: lost)
            }
        }
    },
    Check(
        "chat-deaf-member",
        suspects: [.broadcastUnderLock, .slowMemberBlocksAll] + Cause.chat
    ) { trial in
        let server = try trial.serve("chat-server")
        let members = try trial.room(server, 2)
        let deaf = try trial.join(server, smallBuffers: true)
        try members[0].send("warm")
        try members[1].expect("warm")
        let before = server.subject.peakMemory
        let message = trial.random.letters(60_000)
        let count = 400
        for _ in 0..<count {
            try members[0].send(.binary, message)
            try members[1].expectNextToDropped(message, of: server)
        }
        let grown = (server.subject.peakMemory - before) >> 20
        guard grown < 16 else {
            throw Failure(
                expected: say(
                    "less than 16 MB more for a member that reads nothing while \(count * 60_000 / 1_000_000) MB are said",
                    "说了 \(count * 60_000 / 1_000_000) MB 的话，为一个什么也不读的成员多用的内存少于 16 MB"),
                got: say("\(grown) MB more", "多用了 \(grown) MB"), cause: "slow-member-kept")
        }
        try deaf.expectDropped(cause: "slow-member-kept")
        try members[1].send("still here")
        try members[0].expect("still here")
        // Whoever is dropped, and at which message: nobody else misses one.
        let hall = try trial.serve("chat-server")
        let others = try trial.room(hall, 9)
        let silent = try (0..<4).map { _ in try trial.join(hall, smallBuffers: true) }
        for number in 0..<40 {
            let words = Array("\(number) ".utf8) + message
            try others[0].send(.binary, words)
            for other in others[1...] { try other.expectNextToDropped(words, of: hall) }
        }
        for member in silent { try member.expectDropped(cause: "slow-member-kept") }
    },
    Check("chat-leave", suspects: [.clientEndedServer] + Cause.chat) { trial in
        let server = try trial.serve("chat-server")
        let members = try trial.room(server, 5)
        try members[1].leave()
        members[2].stream.close()
        members[3].stream.reset()
        for number in 0..<10 {
            let text = "message \(number)"
            try members[0].send(text)
            try members[4].expect(text)
        }
        let late = try trial.join(server)
        try members[4].send("welcome")
        for member in [members[0], late] { try member.expect("welcome") }
    },
    Check("chat-leaves-nothing", suspects: [.connectionLeak, .leftOpen, .clientEndedServer] + Cause.chat) { trial in
        let server = try trial.serve("chat-server", descriptorLimit: 32)
        let member = try trial.join(server)
        for number in 0..<100 {
            let guest = try trial.join(server)
            try guest.send("guest \(number)")
            try member.expect("guest \(number)")
            switch number % 3 {
            case 0: try guest.leave()
            case 1: guest.stream.close()
            default: guest.stream.reset()
            }
        }
    },
    Check("chat-too-long", suspects: Cause.chat) { trial in
        let server = try trial.serve("chat-server")
        let members = try trial.room(server, 3)
        let longest = trial.random.letters(ChatRules().messageLimit)
        try members[0].send(.text, longest)
        for member in members[1...] { try member.expect(.text, longest) }
        // Two fragments that are too long together.
        try members[0].send(.text, Array(longest.prefix(40_000)), isFinal: false)
        try members[0].send(.continuation, Array(longest.prefix(30_000)))
        try members[0].expectClose(1009, cause: "message-limit-ignored")
        try members[1].send("still here")
        try members[2].expect("still here")
    },
    Check("chat-broken-member", suspects: [.clientEndedServer] + Cause.chat) { trial in
        let server = try trial.serve("chat-server")
        let members = try trial.room(server, 4)
        try members[0].send(.text, Array("no mask".utf8), mask: .some(nil))
        try members[0].expectClose(1002)
        try members[1].send(.text, [0x68, 0xFF, 0x69])
        try members[1].expectClose(1007)
        try members[2].send("still here")
        try members[3].expect("still here")
    },
]

extension Trial {
    fileprivate func room(_ server: Server, _ count: Int) throws -> [FramePeer] {
        // All requests first: who takes clients one by one need not be waited for one by one.
        let streams = try (0..<count).map { _ in try server.connect() }
        for stream in streams { try stream.send(upgradeRequest()) }
        return try streams.map { try finishOpening($0) }
    }
}

extension FramePeer {
    /// The next message, which reaches everybody, also where another member is dropped for it.
    fileprivate func expectNextToDropped(_ message: [UInt8], of server: Server) throws {
        do { try expect(.binary, message) } catch var failure as Failure {
            let timeline = server.subject.timeline
            let isDropped = timeline.calls.contains { ["close", "shutdown"].contains($0.name) }
            let isHere = !failure.got.contains(say("the connection was", "连接"))
            if isDropped, isHere, !timeline.blocked.contains(where: \.isSend) { failure.name("drop-ends-the-round") }
            throw failure
        }
    }

    /// Nothing has come for this member so far: a ping is answered, and nothing comes before its pong.
    fileprivate func expectNothingBefore(cause: String? = nil) throws {
        let payload = Array("nothing else?".utf8)
        try send(.ping, payload)
        let frame = try nextFrame(say("a pong and nothing before it", "一个 pong，之前什么也没有"))
        guard frame.opcode == Opcode.pong.rawValue, frame.payload == payload else {
            throw Failure(
                expected: say("nothing more for \(name)", "\(name)再也没有别的消息"), got: frame.text,
                cause: frame.opcode == Opcode.pong.rawValue ? nil : cause)
        }
    }

    /// Messages of several senders, mixed in any way, but each sender's in its order; none is missing, none comes twice.
    ///
    /// - Parameter own: this member, where it is a sender, too.
    fileprivate func expectInOrder(
        from senders: some Sequence<Int>, count: Int, own: Int? = nil,
        _ message: (_ sender: Int, _ number: Int) -> [UInt8]
    ) throws {
        var heard = Dictionary(uniqueKeysWithValues: senders.map { ($0, 0) })
        // Who a message may come from is known by its bytes: those that are due now.
        var due = Dictionary(uniqueKeysWithValues: heard.keys.map { (message($0, 0), $0) })
        while !due.isEmpty {
            let frame = try nextFrame(say("messages from \(due.count) members", "还有 \(due.count) 个成员的消息"))
            try checkMask(frame)
            guard frame.opcode == Opcode.text.rawValue, let sender = due.removeValue(forKey: frame.payload),
                let number = heard[sender]
            else {
                let isOwn = own.map { own in (0..<count).contains { message(own, $0) == frame.payload } } ?? false
                let isEarlier = heard.contains { sender, number in
                    (0..<number).contains { message(sender, $0) == frame.payload }
                }
                throw Failure(
                    expected: say(
                        "each sender's messages once, in their order, on \(name)", "\(name)收到每个人的消息各一次，顺序不变"),
                    got: frame.text,
                    cause: isOwn ? "sender-hears-itself" : isEarlier ? "message-doubled" : "messages-out-of-order")
            }
            heard[sender] = number + 1
            if number + 1 < count { due[message(sender, number + 1)] = sender }
        }
    }
}

extension Cause {
    /// A member that is dropped is closed before its end is seen, and rightly: `closedTooEarly` is no mistake here.
    fileprivate static let chat: [Cause] = [.finalBitMissing, .readsPastTheEnd, .waitsForMore]

    static let originUnchecked = Cause("origin-unchecked") { evidence in
        evidence.failure.got.contains("101") ? "" : nil
    }

    /// One thread waits in send for a member that does not read, and another has received and goes no further: it waits for
    /// something that the first one holds.
    static let broadcastUnderLock = Cause("broadcast-under-lock") { evidence in
        guard let sending = evidence.timeline.blocked.last(where: \.isSend) else { return nil }
        var last: [Int32: Call] = [:]
        for call in evidence.timeline.calls { last[call.thread] = call }
        let stuck = last.values.first {
            $0.thread != sending.thread && $0.process == sending.process && $0.isReceive && !$0.isBlocked
                && $0.result > 0
        }
        guard let stuck else { return nil }
        return say(
            "\(sending.callText) waits, and the thread that had \(stuck.callText) makes no call any more",
            "\(sending.callText) 在等待，而做完 \(stuck.callText) 的线程再也没有调用什么")
    }

    /// The thread that should serve all others waits for one.
    static let slowMemberBlocksAll = Cause("slow-member-blocks-all") { evidence in
        evidence.timeline.blocked.last(where: \.isSend)?.callText
    }
}
