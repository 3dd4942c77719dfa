// The grader's ends of a chat: a client, and a server for the student's client. Nothing here is shared with what it
// judges.
import Course
import Foundation
import GraderKit
import Sockets
import Wire

final class ChatPeer {
    let stream: StreamPeer
    /// It has logged in by this name.
    fileprivate(set) var username: String?
    private let trial: Trial
    private var buffer: [UInt8] = []
    private var start = 0

    init(_ stream: StreamPeer, _ trial: Trial) { (self.stream, self.trial) = (stream, trial) }

    var name: String { stream.name }

    func send(_ messages: ChatMessage...) throws { try stream.send(messages.flatMap { framed(writeMessage($0)) }) }

    /// As they stand: JSON or not.
    func send(json texts: String...) throws { try stream.send(texts.flatMap { framed(Array($0.utf8)) }) }

    func chat(_ content: String) throws { try send(.chat(content: content)) }

    enum Next {
        case frame([UInt8])
        case end
        case broken(Int32)
        case late
    }

    func next(_ expected: String, until deadline: Deadline = Deadline()) throws -> Next {
        while true {
            if buffer.count - start >= 4 {
                let length = buffer[start..<start + 4].reduce(0) { $0 << 8 | Int($1) }
                guard length <= Lesson14.frameLimit else {
                    throw Failure(
                        expected: expected,
                        got: say("a length of \(length): ", "长度 \(length)：")
                            + hexText(Array(buffer[start...].prefix(8))),
                        cause: length > 1 << 30 && buffer[start] == UInt8(ascii: "{")
                            ? "no-length" : UInt32(length).byteSwapped < 65_537 ? "chat-length-host-order" : nil)
                }
                if buffer.count - start - 4 >= length {
                    let frame = Array(buffer[start + 4..<start + 4 + length])
                    start += 4 + length
                    return .frame(frame)
                }
            }
            buffer.removeFirst(start)
            start = 0
            switch try stream.receive(1 << 16, until: deadline, expected: expected) {
            case .bytes(let bytes): buffer += bytes
            case .end:
                guard buffer.isEmpty else {
                    throw Failure(
                        expected: expected,
                        got: say("the connection was closed within a frame: ", "连接在一帧中间被关闭：") + hexText(buffer))
                }
                return .end
            case .broken(let code): return .broken(code)
            case .late:
                guard buffer.isEmpty else {
                    throw Failure(
                        expected: expected, got: say("only a part of a frame: ", "只有帧的一部分：") + hexText(buffer))
                }
                return .late
            }
        }
    }

    /// The next message, whatever it is.
    func nextMessage(_ expected: String) throws -> Heard {
        switch try next(expected) {
        case .frame(let frame):
            let heard = Heard(frame)
            trial.note(say("\(name): received ", "\(name)：收到 ") + heard.text)
            return heard
        case .end: throw Failure(expected: expected, got: say("the connection was closed", "连接被关闭"))
        case .broken(let code):
            throw Failure(expected: expected, got: say("the connection was broken: ", "连接断开：") + errorText(code))
        case .late: throw Failure(expected: expected, got: say("nothing", "什么也没有"))
        }
    }

    /// - Parameter cause: of what came instead, where that is a message.
    func expect(_ messages: ChatMessage..., cause: (Heard) -> String? = { _ in nil }) throws {
        for message in messages {
            let expected = say("\(message.words) on \(name)", "\(name)收到 \(message.words)")
            let heard = try nextMessage(expected)
            if case .message(let got) = heard, got.timeless == message.timeless { continue }
            throw Failure(expected: expected, got: heard.text, cause: cause(heard) ?? mistake(heard, instead: message))
        }
    }

    func mistake(_ heard: Heard, instead wanted: ChatMessage) -> String? {
        guard case .message(let got) = heard else { return heard.isBroken(by: wanted) ? "text-not-escaped" : nil }
        switch (wanted, got) {
        // The right one by another number is neither.
        case (.chatMessage(let wanted), .chatMessage(let got)) where got.content == wanted.content: return nil
        case (.chatMessage(let wanted), .chatMessage(let got)) where got.id < wanted.id: return "chat-message-doubled"
        case (.chatMessage(let wanted), .chatMessage(let got)) where got.id > wanted.id: return "chat-message-lost"
        case (.error(.unknownType), .error(.badMessage)): return "unknown-type-taken-for-bad"
        case (_, .userJoined(let name)) where name == username: return "told-of-itself"
        case (.chatMessage(let own), .userJoined(let name)) where username == nil && own.username == name:
            return "told-of-itself"
        default: return nil
        }
    }

    /// The end of the stream, and no frame before it.
    ///
    /// - Parameter reset: the cause of a reset, where only one thing can be it.
    func expectEnd(cause: String? = nil, reset: String? = "closed-with-unread-bytes") throws {
        let expected = say("the program closes \(name), with nothing more before it", "程序关闭\(name)，之前不再发送什么")
        switch try next(expected) {
        case .end: trial.note(say("\(name): end of stream", "\(name)：流结束"))
        case .frame(let frame): throw Failure(expected: expected, got: Heard(frame).text, cause: cause)
        case .broken(let code):
            throw Failure(
                expected: expected, got: say("it was reset: ", "连接被重置：") + errorText(code),
                cause: code == ECONNRESET ? reset : nil)
        case .late: throw Failure(expected: expected, got: say("it is still open", "它仍然开着"), cause: cause)
        }
    }

    /// Whether a frame, or a part of one, is here that was not looked at.
    func hasFrame(_ expected: String) throws -> Bool {
        do { if case .frame = try next(expected, until: Deadline(in: 0.3)) { return true } } catch is Failure {
            return true
        }
        return false
    }

    /// The end, in whatever way, after whatever came before.
    func expectDropped(cause: String? = nil) throws {
        let expected = say("the program closes \(name)", "程序关闭\(name)")
        while true {
            switch try stream.receive(1 << 16, until: Deadline(), expected: expected) {
            case .end, .broken: return
            case .bytes: continue
            case .late: throw Failure(expected: expected, got: say("it is still open", "它仍然开着"), cause: cause)
            }
        }
    }

    /// The same, while it says this again and again.
    func expectDropped(whileSaying message: ChatMessage, cause: String? = nil) throws {
        let expected = say("the program closes \(name), which goes on talking", "程序关闭还在不停说话的\(name)")
        let frame = framed(writeMessage(message))
        let deadline = Deadline()
        while !deadline.hasPassed {
            // It may be closed between two of them.
            do { _ = try stream.sendWhatFits(frame) } catch is Failure {}
            answers: while true {
                switch try stream.receive(1 << 16, until: Deadline(in: 0.25), expected: expected) {
                case .end, .broken: return
                case .bytes: continue
                case .late: break answers
                }
            }
        }
        throw Failure(expected: expected, got: say("it is still open", "它仍然开着"), cause: cause)
    }

    /// Nothing has come that was not looked at: the answer to this question comes next.
    ///
    /// - Parameter cause: of what came instead.
    func expectNothingBefore(cause: (Heard) -> String? = { _ in nil }) throws {
        try send(json: #"{"type":"are you there?"}"#)
        let expected = say(
            "nothing more for \(name) but error unknown_type, the answer to its \"are you there?\"",
            "除了 error unknown_type（对 \"are you there?\" 的回答），\(name)再也没有别的消息")
        let heard = try nextMessage(expected)
        guard heard == .message(.error(.unknownType)) else {
            throw Failure(
                expected: expected, got: heard.text,
                cause: heard == .message(.error(.badMessage)) ? "unknown-type-taken-for-bad" : cause(heard))
        }
    }

    /// What was said before it logged in: it belongs to the answer.
    func expectHistory(_ messages: ChatMessage...) throws {
        for message in messages {
            do { try expect(message) } catch var failure as Failure {
                // The server has answered the login, and the connection is open.
                let isMissing = failure.got == say("nothing", "什么也没有") && stream.isSilent
                failure.cause = failure.cause ?? (isMissing ? "history-not-sent" : nil)
                throw failure
            }
        }
    }

    /// What it has said itself.
    ///
    /// - Parameter witness: a member. Where that one has heard it, the one who spoke was left out.
    func expectOwn(_ messages: ChatMessage..., heardBy witness: ChatPeer) throws {
        for message in messages {
            do { try expect(message) } catch var failure as Failure {
                if failure.cause == nil, (try? witness.hasHeard(message)) == true { failure.cause = "sender-not-told" }
                throw failure
            }
        }
    }

    /// Whether this has come before the answer to a question, by a server that still answers.
    private func hasHeard(_ message: ChatMessage) throws -> Bool {
        try send(json: #"{"type":"are you there?"}"#)
        var isHere = false
        while case .frame(let frame) = try next(message.words) {
            switch readMessage(frame) {
            case .error?: return isHere
            case let other: isHere = isHere || other?.timeless == message.timeless
            }
        }
        return false
    }
}

extension StreamPeer {
    /// It is open, and nothing waits to be received.
    var isSilent: Bool {
        var waiting = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        return poll(&waiting, 1, 0) == 0
    }
}

/// A name that was free again was refused: of a login by a name that somebody had who is gone.
func nameKept(_ heard: Heard) -> String? {
    heard == .message(.loginResponse(refusal: .nameTaken)) ? "name-kept" : nil
}

extension Trial {
    /// A client that is connected and has not logged in.
    func visitor(_ server: Server, smallBuffers: Bool = false) throws -> ChatPeer {
        ChatPeer(try server.connect(smallBuffers: smallBuffers), self)
    }

    /// A member; what it gets after its `login_response` has not been looked at.
    ///
    /// - Parameter cause: of another answer to its login.
    func member(
        _ name: String, _ server: Server, smallBuffers: Bool = false, cause: (Heard) -> String? = { _ in nil }
    ) throws -> ChatPeer {
        let peer = try visitor(server, smallBuffers: smallBuffers)
        try peer.send(.login(username: name))
        try peer.expect(.loginResponse(refusal: nil), cause: cause)
        peer.username = name
        return peer
    }

    /// Members that know of each other: what the earlier ones hear of the later ones is looked at.
    func room(_ server: Server, _ names: String...) throws -> [ChatPeer] {
        var members: [ChatPeer] = []
        for name in names {
            let peer = try member(name, server)
            for earlier in members { try earlier.expect(.userJoined(username: name)) }
            members.append(peer)
        }
        return members
    }
}

/// The reference, in a process of its own, as the other side of a conversation. It is not judged, and ends with its
/// owner.
final class Companion {
    let subject: Subject

    init(_ trial: Trial, _ slug: String) throws {
        subject = try Subject.unwatched(.solution(slug, products: Program.products), in: trial.folder)
    }

    deinit { subject.stop() }

    /// Starts one of its servers.
    func serve(_ entry: String) throws -> SocketAddress {
        switch try subject.startServing(entry, host: "127.0.0.1", port: 0) {
        case .at(let address): return address
        case .stopped(let outcome): throw LabError("the reference's \(entry): \(outcome.text)")
        case .late: throw LabError("the reference's \(entry) does not serve")
        }
    }

    func begin(_ entry: String, _ arguments: [Value]) throws { try subject.begin(entry, arguments) }

    func value(_ entry: String) throws -> Value {
        switch try subject.outcome(until: Deadline()) {
        case .returned(let value)?: return value
        case .threw(_, _, _, let description)?:
            throw Failure(
                expected: say("the lab's own client is content with your server", "实验自带的客户端对你的服务器满意"),
                got: description)
        case nil:
            throw Failure(
                expected: say("the lab's own client comes to its end", "实验自带的客户端走到结束"),
                got: say("it still waits", "它还在等"))
        }
    }
}
