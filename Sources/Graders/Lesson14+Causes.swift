// Lesson 14: which mistake shows in what members hear, and in what the server was doing.
import Course
import GraderKit
import Sockets
import Wire

extension ChatPeer {
    /// The end, by FIN or by reset, and no frame before it.
    func expectOver(cause: String? = nil) throws {
        let expected = say("the program closes \(name), with nothing more before it", "程序关闭\(name)，之前不再发送什么")
        switch try next(expected) {
        case .end, .broken: return
        case .frame(let frame):
            let heard = Heard(frame)
            // Only a member says goodbye, and none of ours has.
            let isGoodbye = if case .message(.logout) = heard { true } else { false }
            throw Failure(expected: expected, got: heard.text, cause: isGoodbye ? "gateway-says-its-own" : cause)
        case .late:
            throw Failure(
                expected: expected, got: say("it is still open", "它仍然开着"), cause: "gateway-server-kept")
        }
    }

    /// `speakers` × `rounds` messages `"speaker number"`, ids from 1 on; in the same order as all who came before.
    ///
    /// - Parameter isSpeaker: it is one of those who speak.
    func expectSameOrder(_ order: inout [String], speakers: Int, rounds: Int, isSpeaker: Bool) throws {
        var heardOf = [Int](repeating: 0, count: speakers)
        var own: [String] = []
        while own.count < speakers * rounds {
            let expected = say("chat_message \(own.count + 1) on \(name)", "\(name)收到 chat_message \(own.count + 1)")
            let heard = try nextMessage(expected)
            if case .message(.userJoined) = heard { continue }
            guard case .message(.chatMessage(let line)) = heard, line.id == own.count + 1 else {
                var cause = gap(heard, behind: own.count)
                if cause == "chat-message-lost" {
                    let lines = [heard] + (try laterMessages())
                    if lines.contains(where: { $0.line?.id == own.count + 1 }) {
                        cause = "orders-differ"
                    } else if isSpeaker, !lines.contains(where: { $0.line?.username == username }) {
                        cause = "sender-not-told"
                    }
                }
                throw Failure(expected: expected, got: heard.text, cause: cause)
            }
            let parts = line.content.split(separator: " ").compactMap { Int($0) }
            guard parts.count == 2, heardOf.indices.contains(parts[0]), heardOf[parts[0]] == parts[1] else {
                throw Failure(
                    expected: say("each sender's messages in its order, on \(name)", "\(name)收到的每个人的消息保持各自的顺序"),
                    got: heard.text,
                    cause: "chat-out-of-order")
            }
            heardOf[parts[0]] += 1
            own.append(line.content)
        }
        if order.isEmpty { order = own }
        guard order == own else {
            let index = zip(order, own).enumerated().first { $1.0 != $1.1 }?.offset ?? 0
            throw Failure(
                expected: say(
                    "the same chat_message \(index + 1) for all: \(order[index])",
                    "所有人的 chat_message \(index + 1) 相同：\(order[index])"),
                got: "\(name): \(own[index])", cause: "orders-differ")
        }
    }

    /// All that comes behind: what is among it was overtaken, not lost.
    private func laterMessages() throws -> [Heard] {
        var messages: [Heard] = []
        let expected = say("more on \(name)", "\(name)收到后面的消息")
        while case .frame(let frame) = try next(expected, until: Deadline(in: 1)) { messages.append(Heard(frame)) }
        return messages
    }

    /// The room's life, in place of the history that belongs behind the answer to a login.
    func withoutHistory(_ heard: Heard) -> String? {
        switch heard {
        case .message(.userJoined): "history-not-sent"
        case .message(.chatMessage(let line)): line.id > 111 ? "history-not-sent" : "history-wrong-end"
        default: nil
        }
    }

    /// A message that was left out, or came again.
    func gap(_ heard: Heard, behind last: Int?) -> String? {
        guard case .message(.chatMessage(let line)) = heard, let last else { return nil }
        return line.id <= last ? "chat-message-doubled" : "chat-message-lost"
    }
}

extension Heard {
    var isUserJoined: Bool {
        if case .message(.userJoined) = self { return true }
        return false
    }

    fileprivate var line: ChatLine? {
        if case .message(.chatMessage(let line)) = self { return line }
        return nil
    }
}

extension Cause {
    /// A member that is dropped is closed before its end is seen, and rightly: `closedTooEarly` is no mistake here.
    static let chatRoom: [Cause] = [
        .sentAgainFromTheStart, .frameBegunAgain, .broadcastUnderLock, .slowMemberBlocksAll, .readsPastTheEnd,
        .readOnce, .waitsForMore, .senderNotTold, .onlyOthersTold,
    ]

    /// A part of some frames was taken, and what was sent next begins with a frame, and is more than their rest: one of them
    /// was begun anew.
    static let frameBegunAgain = Cause("sent-again-from-the-start") { evidence in
        let sends = evidence.timeline.calls.filter(\.isSend)
        for (index, send) in sends.enumerated() where send.result > 0 && send.result < send.length {
            guard let next = sends[(index + 1)...].first(where: { $0.descriptor == send.descriptor }),
                next.length > send.length - Int(send.result), next.data.count >= 5, next.data[0] == 0,
                next.data[4] == UInt8(ascii: "{")
            else { continue }
            return say(
                "\(send.name) took \(send.result) of \(send.length) bytes, and then \(next.length) were sent, not \(send.length - Int(send.result))",
                "\(send.name) 接受了 \(send.length) 字节中的 \(send.result) 字节，接着发的是 \(next.length) 字节，不是剩下的 \(send.length - Int(send.result)) 字节"
            )
        }
        return nil
    }

    /// What the last receive gave, which is less or more than a frame, was taken for a message.
    static let oneReceiveOneChat = Cause("one-recv-one-message") { evidence in
        guard evidence.failure.got.contains("badMessage") else { return nil }
        guard let last = evidence.timeline.calls.last(where: { $0.isReceive && $0.result > 0 }) else { return nil }
        let length = last.data.prefix(4).reduce(0) { $0 << 8 | Int($1) }
        guard last.result != length + 4 else { return nil }
        return say(
            "\(last.name) gave \(last.result) bytes, and they were decoded as a message",
            "\(last.name) 得到 \(last.result) 字节，就当作一条消息去解码")
    }

    /// A short chat came, others were sent a message that has room for it, and the client itself only less than that.
    private static let onlyOthersTold = Cause("sender-not-told") { evidence in
        guard evidence.failure.got == say("nothing", "什么也没有") else { return nil }
        let calls = evidence.timeline.calls
        let chat = calls.lastIndex { call in
            let json = String(decoding: call.data.dropFirst(4).filter { $0 != 0x20 }, as: UTF8.self)
            return call.isReceive && call.result > 4 && call.result <= 64 && !json.contains("\\")
                && (json.hasPrefix(#"{"content":"#) || json.hasPrefix(#"{"type":"chat","#))
        }
        guard let chat else { return nil }
        // Number, name, time and the longer type take more than this.
        let least = Int(calls[chat].result) + 30
        let sends = calls[chat...].filter { $0.isSend && $0.result > 0 }
        let own = sends.filter { $0.descriptor == calls[chat].descriptor }
        guard sends.contains(where: { $0.descriptor != calls[chat].descriptor && $0.result >= least }),
            own.reduce(0, { $0 + Int($1.result) }) < least
        else { return nil }
        return say(
            "the chat that came on descriptor \(calls[chat].descriptor) was sent to others only",
            "描述符 \(calls[chat].descriptor) 上来的聊天消息只发给了别人")
    }

    /// A whole chat of a client that was answered before is here, and nothing was sent to that client any more.
    private static let senderNotTold = Cause("sender-not-told") { evidence in
        guard evidence.ending == nil, evidence.returned == nil else { return nil }
        let calls = evidence.timeline.calls
        for descriptor in Set(calls.filter { $0.isAccept && $0.result >= 0 }.map { Int32($0.result) }) {
            guard let last = calls.lastIndex(where: { $0.isSend && $0.descriptor == descriptor }),
                calls[last].result > 0
            else { continue }
            let received = calls[last...].filter { $0.isReceive && $0.descriptor == descriptor && $0.result > 0 }
            let bytes = received.flatMap { $0.data.prefix(Int($0.result)) }.prefix(64)
            let length = bytes.prefix(4).reduce(0) { $0 << 8 | Int($1) }
            let json = String(decoding: bytes.dropFirst(4).filter { $0 != 0x20 }, as: UTF8.self)
            guard json.hasPrefix(#"{"content":"#) || json.hasPrefix(#"{"type":"chat","#),
                received.reduce(0, { $0 + Int($1.result) }) >= 4 + length
            else { continue }
            return say(
                "the chat that came on descriptor \(descriptor) was not sent to it",
                "描述符 \(descriptor) 上来的聊天消息没有发回给它")
        }
        return nil
    }
}
