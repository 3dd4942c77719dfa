// The hub of lesson 12, behind the lab's own server: a thread for each connection, a line from one goes to all.
import Course
import GraderKit
import Sockets
import Wire

private let entry = "broadcast-hub"
private let suspects: [Cause] = [
    .sendsToTheSlow, .lockTakenTwice, .usesClosedConnection, .clientEndedServer, .waitsForLock, .memberLeftOut,
]

let hubChecks: [Check] = [
    Check("hub-everyone", suspects: suspects) { trial in
        let room = try Room(trial, members: 4)
        for (number, member) in room.members.enumerated() {
            try room.say("line \(number)", by: member)
        }
    },
    Check("hub-leave", suspects: suspects) { trial in
        let room = try Room(trial, members: 4)
        let before = room.server.subject.descriptorCount
        for number in 0..<10 {
            let member = room.members.remove(at: 1)
            member.peer.halfClose()
            try member.expectEnd()
            member.peer.close()
            try room.say("without \(number)", by: room.members[0])
            // The next one has, most likely, the same descriptor.
            try room.join()
            try room.say("and again \(number)", by: room.members[2])
        }
        try trial.expectAllLeft(room.server, before)
        let stray = room.server.subject.timeline.calls.last { $0.failed && $0.error == EBADF }
        guard stray == nil else {
            throw Failure(
                expected: say("nothing is done with a connection that was left", "离开之后不再使用那个连接"),
                got: stray.map { "\($0.callText) = -1 EBADF" } ?? "", cause: "uses-a-closed-connection")
        }
    },
    Check("hub-at-once", suspects: suspects) { trial in
        try Room(trial, members: 6).talkAtOnce(lines: 100)
    },
    Check("hub-whole", suspects: suspects) { trial in
        // One byte a send, so that messages which are sent at the same time would be mixed.
        try Room(trial, members: 4, plan: .most(1, each: .send)).talkAtOnce(lines: 20)
    },
    Check("hub-broken", suspects: [.lockTakenTwice, .failedSendIgnored] + suspects) { trial in
        // Three greetings are 1 + 2 + 3 sends. The next one fails, whoever it is for.
        let room = try Room(trial, members: 3, plan: .fail(.send, 7, with: EPIPE))
        try room.members[0].peer.send("broken\n")
        let sentence = say(
            "two members get the line; the one whose send failed (EPIPE) is thrown out",
            "两个成员收到这一行；发送失败（EPIPE）的那个成员被请出")
        let got = try room.members.map { try $0.nextLine(expected: sentence) }
        let thrownOut = got.filter { $0 == nil }.count
        guard thrownOut == 1 else {
            throw Failure(expected: sentence, got: say("\(thrownOut) are thrown out", "被请出的有 \(thrownOut) 个"))
        }
        room.members = zip(room.members, got).filter { $0.1 != nil }.map(\.0)
        try room.say("two of us", by: room.members[1])
        try room.join()
        try room.say("three again", by: room.members[2])
    },
    Check("hub-resets", suspects: suspects) { trial in
        let room = try Room(trial, members: 10)
        let gone = room.members[5...]
        room.members = Array(room.members[..<5])
        for member in gone { member.peer.reset() }
        try room.talkAtOnce(lines: 20)
        try room.join()
        try room.say("still here", by: room.members[5])
    },
    Check("hub-slow", suspects: suspects) { trial in
        let room = try Room(trial, members: 2)
        let slow = try room.connect(smallBuffers: true)
        try slow.greet()
        for member in room.members { try member.expectLine(slow.greeting) }
        // It reads no more. The others do not notice.
        for _ in 0..<100 {
            try room.say(String(decoding: trial.random.letters(16_000), as: UTF8.self), by: room.members[0])
        }
    },
    Check("hub-memory", suspects: suspects) { trial in
        let room = try Room(trial, members: 1)
        let slow = try room.connect(smallBuffers: true)
        try slow.greet()
        try room.members[0].expectLine(slow.greeting)
        let line = String(repeating: "m", count: 32_000)
        try room.say(line, by: room.members[0])
        let before = room.server.subject.peakMemory
        let count = 1200
        for _ in 0..<count { try room.say(line, by: room.members[0]) }
        let grown = room.server.subject.peakMemory - before
        guard grown < 16 << 20 else {
            throw Failure(
                expected: say(
                    "less than 16 MB more, when \((count * 32_000) >> 20) MB are sent to a member that reads nothing",
                    "向一个什么也不读的成员发送 \((count * 32_000) >> 20) MB，内存增加不到 16 MB"),
                got: "\(grown >> 20) MB", cause: "queue-without-end")
        }
        // What it was not sent it has missed: it finds the end behind what is on its way.
        let expected = say("the member that reads nothing is thrown out", "什么也不读的成员被请出去")
        do { while try slow.nextLine(expected: expected) != nil {} } catch var failure as Failure {
            failure.cause = "missed-without-knowing"
            throw failure
        }
    },
    Check("hub-churn", suspects: suspects) { trial in
        let room = try Room(trial, members: 3)
        let before = room.server.subject.descriptorCount
        for round in 0..<20 {
            // They come and go while others speak, and while they are spoken to.
            let guests = try (0..<5).map { _ in try room.connect() }
            for guest in guests { try guest.peer.send(guest.greeting + "\n") }
            try room.members[0].peer.send("round \(round)\n")
            for (number, guest) in guests.enumerated() {
                if number % 2 == 0 { guest.peer.reset() } else { guest.peer.close() }
            }
        }
        for member in room.members {
            var rounds: [String] = []
            while rounds.last != "round 19" {
                guard let line = try member.nextLine() else {
                    throw Failure(
                        expected: say("\(member.peer.name) stays a member", "\(member.peer.name)一直是成员"),
                        got: say("it was thrown out", "它被请出了"))
                }
                if line.hasPrefix("round") { rounds.append(line) }
            }
            try trial.expect(
                rounds.joined(separator: ", "), equals: (0..<20).map { "round \($0)" }.joined(separator: ", "),
                say("the lines of one who stays, at \(member.peer.name)", "\(member.peer.name)收到的、留下的人说的话"))
        }
        try trial.expectAllLeft(room.server, before)
    },
    Check("hub-eintr", suspects: [.interruptedCall] + suspects) { trial in
        let room = try Room(trial, members: 2, plan: .fail(.send, 1, through: 3, with: EINTR))
        try room.say("after three signals", by: room.members[1])
    },
    Check("hub-idle", suspects: suspects + [.pollsInsteadOfWaiting]) { trial in
        let room = try Room(trial, members: 5)
        try trial.expectQuiet(room.server)
        try room.say("awake", by: room.members[4])
    },
]

/// The members of one hub, all of whom listen.
private final class Room {
    let server: Server
    var members: [Member] = []
    private var connected = 0

    init(_ trial: Trial, members count: Int, plan: FaultPlan = .none) throws {
        server = try trial.serve(entry, plan: plan)
        for _ in 0..<count { try join() }
    }

    func connect(smallBuffers: Bool = false) throws -> Member {
        connected += 1
        return Member(try server.connect(smallBuffers: smallBuffers), greeting: "hello \(connected)")
    }

    /// One more. Its own line comes back to it once it is a member.
    func join() throws {
        let member = try connect()
        members.append(member)
        try say(member.greeting, by: member)
    }

    /// A line that everybody gets.
    func say(_ line: String, by speaker: Member) throws {
        try speaker.peer.send(line + "\n")
        for member in members {
            do { try member.expectLine(line) } catch var failure as Failure {
                // Everybody in the room reads, and still the program has ended a connection of its own accord.
                if failure.got == Course.say("the connection was closed", "连接被关闭"), server.subject.timeline.endsWhoReads
                {
                    failure.cause = "reader-thrown-out"
                }
                throw failure
            }
        }
    }

    /// All speak at once, and everybody gets everything: whole, once, and in each speaker's order.
    func talkAtOnce(lines count: Int) throws {
        for (number, member) in members.enumerated() {
            let lines = (0..<count).map { "\(number):\($0) and a few words more\n" }
            try member.peer.send(Array(lines.joined().utf8))
        }
        for member in members {
            var next = [Int](repeating: 0, count: members.count)
            for _ in 0..<count * members.count {
                let sentence = Course.say(
                    "whole lines on \(member.peer.name), each speaker's in order",
                    "\(member.peer.name)收到完整的行，每个发言者的行保持顺序")
                guard let line = try member.nextLine() else {
                    throw Failure(expected: sentence, got: Course.say("it was thrown out", "它被请出了"))
                }
                let words = line.split(separator: " ", maxSplits: 1)
                let numbers = words.first?.split(separator: ":").compactMap { Int($0) } ?? []
                guard words.count == 2, words[1] == "and a few words more", numbers.count == 2,
                    next.indices.contains(numbers[0])
                else { throw Failure(expected: sentence, got: "\"\(line.prefix(60))\"", cause: "messages-torn") }
                guard numbers[1] == next[numbers[0]] else {
                    throw Failure(
                        expected: sentence,
                        got: Course.say(
                            "of speaker \(numbers[0]) line \(numbers[1]), and not \(next[numbers[0]])",
                            "发言者 \(numbers[0]) 的第 \(numbers[1]) 行，而不是第 \(next[numbers[0]]) 行"),
                        cause: "messages-overtake")
                }
                next[numbers[0]] += 1
            }
        }
    }
}

/// One who listens, line by line.
private final class Member {
    let peer: StreamPeer
    let greeting: String
    private var pending: [UInt8] = []

    init(_ peer: StreamPeer, greeting: String) {
        self.peer = peer
        self.greeting = greeting
    }

    /// Sends its greeting, and reads until it has come back.
    func greet() throws {
        try peer.send(greeting + "\n")
        while try nextLine() != greeting { continue }
    }

    func expectLine(_ line: String) throws {
        let sentence = say("\(quoted(Array(line.utf8))) on \(peer.name)", "\(peer.name)收到 \(quoted(Array(line.utf8)))")
        guard let got = try nextLine(expected: sentence) else {
            throw Failure(expected: sentence, got: say("the connection was closed", "连接被关闭"))
        }
        guard got == line else { throw Failure(expected: sentence, got: quoted(Array(got.utf8))) }
    }

    /// Without its newline; nil at the end of the connection, in whatever way.
    func nextLine(expected: String? = nil) throws -> String? {
        let deadline = Deadline()
        let sentence = expected ?? say("a line on \(peer.name)", "\(peer.name)收到一行")
        while true {
            if let end = pending.firstIndex(of: 10) {
                defer { pending.removeFirst(end + 1) }
                return String(decoding: pending[..<end], as: UTF8.self)
            }
            switch try peer.receive(1 << 16, until: deadline, expected: sentence) {
            case .bytes(let bytes): pending += bytes
            case .end, .broken: return nil
            case .late:
                throw Failure(
                    expected: sentence,
                    got: pending.isEmpty ? say("nothing", "什么也没有") : say("only ", "只有 ") + quoted(pending))
            }
        }
    }

    /// Lines that were on their way may come before it.
    func expectEnd() throws {
        while try nextLine() != nil { continue }
    }
}

extension Trial {
    /// As many descriptors are open as when as many were members: a connection is closed when leave has come back.
    fileprivate func expectAllLeft(_ server: Server, _ before: Int) throws {
        // A few are what a library makes for itself at the first use.
        guard server.waitForDescriptors(before + 4) else {
            let more = server.subject.descriptorCount - before
            throw Failure(
                expected: say(
                    "leave returns for each of those who have left, so that it can be closed",
                    "对每个离开的人，leave 都返回，连接才能关闭"),
                got: say("\(more) are still open", "还有 \(more) 个开着"), cause: "leave-never-returns")
        }
    }
}

extension Timeline {
    /// A connection was ended, and not because a send to it had failed, or because its only one was a short one.
    fileprivate var endsWhoReads: Bool {
        calls.contains { end in
            guard end.name == "shutdown" || end.name == "close" else { return false }
            let sends = calls.filter { $0.isSend && $0.descriptor == end.descriptor && $0.entered < end.entered }
            guard let last = sends.last else { return true }
            return !last.failed && (sends.count > 1 || last.result == last.length)
        }
    }
}
