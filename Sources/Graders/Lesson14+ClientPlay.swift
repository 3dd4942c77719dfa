// Lesson 14, the chat client: the grader as a server of a client of the student's.
import Course
import GraderKit
import Sockets
import Wire

/// A client of the student's, and the grader as its server.
struct ChatClientPlay {
    let listener: StreamListener
    let call: PendingCall
    let trial: Trial

    func accept() throws -> ChatPeer { ChatPeer(try listener.accept(from: call), trial) }

    /// Behind an error that answers a login, and a message that came before it.
    func expectLogout(_ server: ChatPeer) throws {
        do { try server.expect(.logout) } catch var failure as Failure {
            // It hangs up before it says why.
            if try !call.isOver(within: 1) {
                // It waits in receive for what it had already.
                failure.cause = failure.cause ?? "kept-message-lost"
            } else if case .threw("SocketError", _, ETIMEDOUT, _) = try call.outcome() {
                failure.cause = failure.cause ?? "error-is-an-answer"
            }
            throw failure
        }
    }
}

extension Trial {
    func beginChatClient(
        _ steps: [Value], plan: FaultPlan? = nil, smallBuffers: Bool = false
    ) throws -> ChatClientPlay {
        let listener = try listen(smallBuffers: smallBuffers)
        let arguments: [Value] = [.string(listener.address.host), .int(Int(listener.address.port)), .list(steps)]
        return ChatClientPlay(listener: listener, call: try begin("chat-client", arguments, plan: plan), trial: self)
    }

    func expect(_ play: ChatClientPlay, returns wanted: [Value]) throws {
        let got = try [play.call.value()].list(0)
        for index in 0..<max(wanted.count, got.count) {
            let want = index < wanted.count ? wanted[index] : .none
            let have = index < got.count ? got[index] : .none
            guard want == have else {
                let isAllThere = wanted.count == got.count && wanted.allSatisfy(got.contains)
                throw Failure(
                    expected: say(
                        "result \(index + 1) of the client: \(want.text)", "客户端的第 \(index + 1) 个结果：\(want.text)"),
                    got: have.text, cause: isAllThere ? "kept-out-of-order" : nil)
            }
        }
    }

    func expect(_ play: ChatClientPlay, throws code: Int32, cause: String? = nil) throws {
        let expected = say("SocketError: ", "SocketError：") + errorText(code)
        // As long as it may take, and as long again.
        let outcome: PendingCall.Outcome
        do { outcome = try play.call.outcome(within: 2 * Deadline.patience, expecting: expected) } catch var failure
            as Failure
        {
            failure.cause = failure.cause ?? cause
            throw failure
        }
        switch outcome {
        case .threw("SocketError", _, code, _): return
        default: throw Failure(expected: expected, got: outcome.text, cause: cause)
        }
    }
}

extension ChatPeer {
    /// What the client says on the same connection when it was told no.
    func expectAgain(_ message: ChatMessage) throws {
        do { try expect(message) } catch var failure as Failure {
            switch try next(failure.expected, until: Deadline(in: 0)) {
            case .end, .broken: failure.cause = failure.cause ?? "closes-after-no"
            case .frame, .late: break
            }
            throw failure
        }
    }

    /// Tells of members who come until the client has given up its wait: a patience that begins anew with each message
    /// has no end.
    func talk(past play: ChatClientPlay) throws {
        let deadline = Deadline(in: 2 * Deadline.patience)
        let news = framed(writeMessage(.userJoined(username: "bob")))
        repeat {
            // It may hang up between two of them.
            do { _ = try stream.sendWhatFits(news) } catch is Failure {}
            if try play.call.isOver(within: 0.25) { return }
        } while !deadline.hasPassed
        throw Failure(
            expected: say("SocketError: ", "SocketError：") + errorText(ETIMEDOUT),
            got: say("it still waits, while other messages come", "别的消息不断到来，它还在等"),
            cause: "waits-for-answer-for-ever")
    }

    /// The client has closed its descriptor, with or without bytes that it had not read.
    func expectClosedByClient() throws {
        let expected = say("the client closes its descriptor", "客户端关闭它的描述符")
        switch try next(expected) {
        case .end, .broken: return
        case .frame(let frame): throw Failure(expected: expected, got: Heard(frame).text)
        case .late: throw Failure(expected: expected, got: say("it is still open", "它仍然开着"), cause: "open-after-error")
        }
    }
}
