// Lesson 14: members that do not read, and a thousand that do.
import Course
import Foundation
import GraderKit
import Sockets
import Wire

let crowdChatChecks: [Check] = [
    Check("server-slow-member", suspects: Cause.chatRoom) { trial in
        let server = try trial.serve(chatServer14)
        let members = try trial.room(server, "ann", "bob")
        let slow = try trial.member("slow", server, smallBuffers: true)
        for member in members { try member.expect(.userJoined(username: "slow")) }
        // More than the kernel keeps for it, less than the server must.
        let texts = (1...150).map { _ in String(decoding: trial.random.letters(4000), as: UTF8.self) }
        for (index, text) in texts.enumerated() {
            try members[index % 2].chat(text)
            do {
                for member in members {
                    try member.expect(said(index + 1, index % 2 == 0 ? "ann" : "bob", text)) {
                        $0 == .message(.userLeft(username: "slow")) ? "slow-member-dropped" : nil
                    }
                }
            } catch let failure as Failure where failure.cause == nil {
                // Is the other one still heard? Who takes what it says, and goes no further, waits for a lock.
                let asked = now()
                try members[1 - index % 2].chat("and me?")
                _ = try server.subject.waitForTimeline(until: Deadline(in: 0.5)) { timeline in
                    timeline.calls.last { $0.isReceive && $0.result > 0 && $0.returned ?? 0 > asked }
                }
                // Anew: what it did until now belongs to the report.
                throw Failure(expected: failure.expected, got: failure.got, difference: failure.difference)
            }
        }
        // It was slow, not away: nothing is missing.
        for (index, text) in texts.enumerated() {
            do { try slow.expect(said(index + 1, index % 2 == 0 ? "ann" : "bob", text)) } catch var failure as Failure {
                failure.cause = "lost-for-slow-member"
                throw failure
            }
        }
        try slow.expectNothingBefore()
    }.explained(first: [.frameBegunAgain]),
    Check("server-deaf-member", suspects: Cause.chatRoom) { trial in
        let server = try trial.serve(chatServer14)
        // It has joined between the two: whoever goes through a list of members comes to one of them before it.
        var members = try trial.room(server, "ann")
        let deaf = try trial.member("deaf", server, smallBuffers: true)
        for member in members { try member.expect(.userJoined(username: "deaf")) }
        members.append(try trial.member("bob", server))
        try members[0].expect(.userJoined(username: "bob"))
        let before = server.subject.peakMemory
        let text = String(decoding: trial.random.letters(4096), as: UTF8.self)
        /// Before which message each of them has heard that it is gone.
        var left: [Int?] = members.map { _ in nil }
        let count = 6000
        for number in 1...count where !left.allSatisfy({ $0 != nil }) {
            try members[0].chat(text)
            for (index, member) in members.enumerated() {
                var heard = try member.nextMessage(said(number, "ann", text).words)
                if heard == .message(.userLeft(username: "deaf")), left[index] == nil {
                    left[index] = number
                    heard = try member.nextMessage(said(number, "ann", text).words)
                }
                guard case .message(.chatMessage(let line)) = heard, line.id == number, line.content == text else {
                    throw Failure(expected: said(number, "ann", text).words, got: heard.text)
                }
            }
        }
        let grown = (server.subject.peakMemory - before) >> 20
        let isGone = left.allSatisfy { $0 != nil }
        guard isGone, grown < 16 else {
            throw Failure(
                expected: say(
                    "a member that reads nothing is dropped while 24 MB are said, and costs less than 16 MB",
                    "说了 24 MB 的话，什么也不读的成员应被断开，为它多用的内存应少于 16 MB"),
                got: isGone
                    ? say("\(grown) MB more", "多用了 \(grown) MB")
                    : say("it is still a member, \(grown) MB more", "它仍是成员，多用了 \(grown) MB"), cause: "deaf-member-kept")
        }
        let (first, last) = (left.compactMap(\.self).min()!, left.compactMap(\.self).max()!)
        guard first == last else {
            throw Failure(
                expected: say("all hear user_left \"deaf\" at the same place", "所有人在同一个位置收到 user_left \"deaf\""),
                got: say("some before message \(first), others before \(last)", "有的在消息 \(first) 之前，有的在 \(last) 之前"),
                cause: "dropped-in-the-middle")
        }
        try deaf.expectDropped(cause: "deaf-member-kept")
        let again = try trial.visitor(server)
        try again.send(.login(username: "deaf"))
        try again.expect(.loginResponse(refusal: nil), cause: nameKept)
    },
    Check("server-thousand", suspects: [.smallBacklog] + Cause.chatRoom) { trial in
        let count = 1000
        // Six a member: its connection, a copy of it, a pair to wake its thread, and some room.
        let server = try trial.serve(chatServer14, descriptorLimit: trial.descriptors(for: count, each: 6))
        let slow = try trial.member("slow", server, smallBuffers: true)
        let crowd = ChatCrowd(server, trial)
        for first in stride(from: 0, to: count - 1, by: 50) {
            try crowd.join((first..<min(first + 50, count - 1)).map { "member\($0)" })
        }
        // Twenty speak, three times each, and 999 of 1,000 hear all of it, while one does not read.
        let speakers = (0..<20).map { $0 * 49 }
        let fill = String(decoding: trial.random.letters(2000), as: UTF8.self)
        for round in 0..<3 {
            for (index, speaker) in speakers.enumerated() {
                try crowd.speak("\(index) \(round) \(fill)", member: speaker)
            }
        }
        try crowd.expectAll(60, speakers: speakers)
        // It was slow, not away.
        var ids: [Int] = []
        while ids.count < 60 {
            let expected = say(
                "chat_message \(ids.count + 1) on the slow \(slow.name)",
                "慢的\(slow.name)收到 chat_message \(ids.count + 1)")
            guard case .frame(let frame) = try slow.next(expected) else {
                throw Failure(
                    expected: expected, got: say("the connection was closed", "连接被关闭"),
                    cause: "lost-for-slow-member")
            }
            if case .chatMessage(let line)? = readMessage(frame) {
                guard line.id == ids.count + 1 else {
                    throw Failure(
                        expected: expected, got: Heard(frame).text, cause: slow.gap(Heard(frame), behind: ids.count))
                }
                ids.append(line.id)
            }
        }
    },
]

/// Hundreds of members, driven by one thread. Only what is a chat message is looked at; all else is counted.
private final class ChatCrowd {
    private struct Member {
        let stream: StreamPeer
        var buffer: [UInt8] = []
        var frames = 0
        var chats: [Data] = []
    }

    /// What a speaker of the crowd has said: its number, the round, and filling.
    private struct Said {
        /// The message's id; 0 if it is none.
        var id = 0
        var words = ""
        var speaker: Int?
        var round: Int?

        init(_ frame: Data) {
            guard case .chatMessage(let line)? = readMessage(Array(frame)) else { return }
            id = line.id
            let parts = line.content.split(separator: " ")
            guard parts.count == 3 else { return }
            (words, speaker, round) = ("\(parts[0]) \(parts[1])", Int(parts[0]), Int(parts[1]))
        }
    }

    private let server: Server
    private let trial: Trial
    private var members: [Member] = []

    init(_ server: Server, _ trial: Trial) { (self.server, self.trial) = (server, trial) }

    /// They log in at once, and have their answers when this returns.
    func join(_ names: [String]) throws {
        let first = members.count
        for name in names {
            let stream = try server.connect()
            try stream.send(framed(writeMessage(.login(username: name))))
            members.append(Member(stream: stream))
        }
        try run(say("\(members.count) members are logged in", "\(members.count) 个成员都已登录")) { members in
            members[first...].allSatisfy { $0.frames > 0 }
        }
    }

    func speak(_ text: String, member: Int) throws {
        try members[member].stream.send(framed(writeMessage(.chat(content: text))))
    }

    /// Everybody has heard so many messages: the same ones, ids from 1 on, each speaker's in its order.
    ///
    /// - Parameter places: of those who spoke, among the members.
    func expectAll(_ count: Int, speakers places: [Int]) throws {
        let speakers = places.count
        do {
            try run(
                say("\(members.count) members hear \(count) messages each", "\(members.count) 个成员各收到 \(count) 条消息")
            ) { members in
                members.allSatisfy { $0.chats.count >= count }
            }
        } catch var failure as Failure {
            // Who said nothing has heard all of it, and those who spoke have heard all but themselves.
            let isLeftOut = members.enumerated().allSatisfy { place, member in
                guard let speaker = places.firstIndex(of: place) else { return member.chats.count == count }
                return member.chats.count == count - count / speakers
                    && !member.chats.contains { Said($0).speaker == speaker }
            }
            if isLeftOut { failure.cause = "sender-not-told" }
            throw failure
        }
        // The same bytes are read once only.
        var known: [Data: Said] = [:]
        var order: [String] = []
        for member in members {
            var next = [Int](repeating: 0, count: speakers)
            var own: [String] = []
            for (index, frame) in member.chats.enumerated() {
                var expected: String {
                    say(
                        "chat_message \(index + 1) on \(member.stream.name)",
                        "\(member.stream.name)收到 chat_message \(index + 1)")
                }
                let said = known[frame] ?? Said(frame)
                known[frame] = said
                guard said.id == index + 1 else {
                    let comesLater = member.chats[index...].contains { Said($0).id == index + 1 }
                    throw Failure(
                        expected: expected, got: Heard(Array(frame)).text,
                        cause: said.id == 0
                            ? nil
                            : said.id <= index
                                ? "chat-message-doubled" : comesLater ? "orders-differ" : "chat-message-lost")
                }
                guard let speaker = said.speaker, next.indices.contains(speaker), said.round == next[speaker] else {
                    throw Failure(expected: expected, got: Heard(Array(frame)).text, cause: "chat-out-of-order")
                }
                next[speaker] += 1
                own.append(said.words)
            }
            if order.isEmpty { order = own }
            guard own == order else {
                throw Failure(
                    expected: say("the same order for all members", "所有成员收到的顺序相同"),
                    got: say("another one on \(member.stream.name)", "\(member.stream.name)的顺序不同"),
                    cause: "orders-differ")
            }
        }
    }

    /// Receives for all until this is so. As long as anything comes, it is waited for; and for a minute as long as the
    /// server is at work: a busy machine may not have let it come to the first message yet.
    private func run(_ expected: String, until isDone: ([Member]) -> Bool) throws {
        var deadline = Deadline(in: 2 * Deadline.patience)
        let last = Deadline(in: 60)
        var used = server.subject.cpuTime
        while !isDone(members) {
            var polled = members.map { pollfd(fd: $0.stream.descriptor, events: Int16(POLLIN), revents: 0) }
            let ready = poll(&polled, nfds_t(polled.count), 200)
            if ready < 0 && errno == EINTR { continue }
            if ready == 0 {
                if server.subject.waitForEnding(until: Deadline(at: 0)) != nil {
                    throw Failure(expected: expected, got: say("the server has ended", "服务器已经结束"))
                }
                guard !deadline.hasPassed else {
                    let before = used
                    used = server.subject.cpuTime
                    if !last.hasPassed && used > before + 1_000_000_000 {
                        deadline = Deadline(in: 2 * Deadline.patience)
                        continue
                    }
                    let got = members.map(\.chats.count)
                    throw Failure(
                        expected: expected,
                        got: say(
                            "nothing more comes; the members have \(got.min() ?? 0) to \(got.max() ?? 0) messages",
                            "再也没有数据；各成员收到 \(got.min() ?? 0) 到 \(got.max() ?? 0) 条消息"))
                }
                continue
            }
            deadline = Deadline(in: 2 * Deadline.patience)
            for index in polled.indices where polled[index].revents != 0 { try receive(index, expected) }
        }
    }

    private func receive(_ index: Int, _ expected: String) throws {
        switch try members[index].stream.receive(1 << 16, until: Deadline(), expected: expected) {
        case .bytes(let bytes): members[index].buffer += bytes
        case .late: return
        case .end, .broken:
            throw Failure(
                expected: expected,
                got: say("\(members[index].stream.name) was closed", "\(members[index].stream.name)被关闭"))
        }
        var start = 0
        let buffer = members[index].buffer
        while buffer.count - start >= 4 {
            let length =
                Int(buffer[start]) << 24 | Int(buffer[start + 1]) << 16 | Int(buffer[start + 2]) << 8
                | Int(buffer[start + 3])
            guard length <= Lesson14.frameLimit else {
                let got = hexText(Array(buffer[start...].prefix(8)))
                throw Failure(expected: expected, got: got, cause: "chat-length-host-order")
            }
            guard buffer.count - start - 4 >= length else { break }
            members[index].frames += 1
            let isChat = buffer.withUnsafeBytes {
                isChatMessage(UnsafeRawBufferPointer(rebasing: $0[start + 4..<start + 4 + length]))
            }
            if isChat { members[index].chats.append(Data(buffer[start + 4..<start + 4 + length])) }
            start += 4 + length
        }
        members[index].buffer.removeFirst(start)
    }
}

/// Is there `chat_message` in these bytes? A member hears a thousand others come: what is not looked at must cost
/// little.
private func isChatMessage(_ bytes: UnsafeRawBufferPointer) -> Bool {
    guard let base = bytes.baseAddress else { return false }
    var place = 0
    while place < bytes.count, let found = memchr(base + place, Int32(UInt8(ascii: "_")), bytes.count - place) {
        let index = UnsafeRawPointer(found) - base
        if index >= 4, bytes.count - index >= 8, memcmp(base + index - 4, "chat_message", 12) == 0 { return true }
        place = index + 1
    }
    return false
}
