// Lesson 09: what is asked of an echo server again and again.
import Course
import GraderKit
import Sockets
import Wire

/// A handshake, and then one message, always with the same mask: the same bytes each time.
let oneMessage: Exchange = {
    let text = Array("Hello, 世界".utf8)
    var exchange = Exchange(question: wireFrame(textOpcode, text, mask: [0x37, 0xFA, 0x21, 0x3D])) { client in
        try client.expect(wireFrame(textOpcode, text))
    }
    exchange.opening = Exchange.Opening(bytes: Request(key: sampleKey).bytes) { client in
        try client.expectSwitching()
    }
    // A close frame, unmasked and with a status or nothing in it: it comes too late, and does no harm.
    exchange.isGoodbye = { $0.count >= 2 && $0[0] == 0x88 && $0[1] != 1 && $0[1] < 126 && $0.count == 2 + Int($0[1]) }
    return exchange
}()

extension StreamPeer {
    /// The server's 101, and not a byte more: for those who look at the frames behind it as bytes.
    func expectSwitching() throws {
        var head: [UInt8] = []
        let expected = say("101 on \(name)", "\(name)收到 101")
        let deadline = Deadline()
        while !head.suffix(4).elementsEqual([13, 10, 13, 10]) {
            // One at a time: what follows belongs to others.
            switch try receive(1, until: deadline, expected: expected) {
            case .bytes(let bytes): head += bytes
            case .late:
                throw Failure(
                    expected: expected, got: head.isEmpty ? say("nothing", "什么也没有") : quoted(head, most: 300),
                    cause: head.isEmpty ? nil : "head-without-end")
            case .end, .broken:
                throw Failure(
                    expected: expected,
                    got: say("the connection was closed", "连接被关闭")
                        + (head.isEmpty ? "" : ": " + quoted(head, most: 300)))
            }
            if head.count > Lesson09.headLimit { break }
        }
        if let fault = faultOfAcceptance(head, key: sampleKey) {
            throw Failure(
                expected: say("an answer on \(name) with ", "\(name)收到应答，应有 ") + fault.text,
                got: quoted(head, most: 400),
                cause: fault.cause)
        }
    }
}

extension Trial {
    /// - Parameter answer: the same value, whatever the order and the blanks.
    func expectJSON(_ client: WebSocketPeer, _ question: String, _ answer: String) throws {
        try client.send(question)
        let sentence = say("\(question) is answered by \(answer)", "\(question) 得到回答 \(answer)")
        let got = try client.nextText(sentence)
        guard let value = JSONValue(got), let wanted = JSONValue(Array(answer.utf8)) else {
            throw Failure(expected: sentence, got: quoted(got, most: 200), cause: "answer-is-no-json")
        }
        guard value != wanted else { return }
        var cause: String?
        if case .object(let members) = value, case .object(let right) = wanted {
            if members["timestamp"] == nil || members["timestamp"] != right["timestamp"] { cause = "timestamp-changed" }
            if members["data"] != right["data"] { cause = "data-changed" }
        }
        throw Failure(expected: sentence, got: quoted(got, most: 200), cause: cause)
    }

    func expectJSONError(_ client: WebSocketPeer, _ question: String) throws {
        let sentence = say(
            "\(quoted(Array(question.utf8))) is answered by {\"type\": \"error\", …}",
            "\(quoted(Array(question.utf8))) 得到回答 {\"type\": \"error\", …}")
        let got = try client.nextText(sentence)
        guard case .object(let members)? = JSONValue(got), members["type"] == .string("error"),
            case .string? = members["message"]
        else { throw Failure(expected: sentence, got: quoted(got, most: 200)) }
    }
}

extension WebSocketPeer {
    /// The next frame, a text, whatever it says.
    func nextText(_ sentence: String) throws -> [UInt8] {
        switch try next(sentence) {
        case .frame(let frame):
            guard frame == .whole(textOpcode, frame.payload) else {
                throw Failure(
                    expected: sentence, got: frame.words,
                    cause: frame.isMasked ? "server-masks" : frame.opcode == 2 ? "opcode-changed" : nil)
            }
            return frame.payload
        case .end: throw Failure(expected: sentence, got: say("the connection was closed", "连接被关闭"))
        case .broken(let code):
            throw Failure(expected: sentence, got: say("the connection was broken: ", "连接断开：") + errorText(code))
        case .late: throw Failure(expected: sentence, got: say("nothing", "什么也没有"))
        }
    }

    /// The peer was told with `code` that it broke the protocol, and the connection ends.
    ///
    /// - Parameter accepted: the mistake of a server that takes it for a message.
    func expectFailed(_ code: UInt16, _ what: String, accepted cause: String) throws {
        let wanted = ReceivedFrame.whole(closeOpcode, closePayload(code))
        let sentence = what + say(": ", "：") + wanted.words + say(" on \(stream.name)", "（\(stream.name)）")
        switch try next(sentence) {
        case .frame(let frame):
            let isClose = frame == .whole(closeOpcode, frame.payload) && frame.payload.count <= 125
            guard isClose, frame.payload.starts(with: wanted.payload) else {
                throw Failure(
                    expected: sentence, got: frame.words,
                    cause: frame.isMasked ? "server-masks" : isClose ? "close-code-of-another-error" : cause)
            }
        case .late: throw Failure(expected: sentence, got: say("nothing", "什么也没有"), cause: cause)
        case .end:
            throw Failure(
                expected: sentence, got: say("the connection was closed without it", "连接被关闭，没有关闭帧"),
                cause: "closed-without-close-frame")
        case .broken(let error):
            throw Failure(
                expected: sentence, got: say("the connection was broken: ", "连接断开：") + errorText(error),
                cause: error == ECONNRESET ? "closed-with-unread-bytes" : nil)
        }
        try expectEnd()
    }
}

extension Failure {
    /// What this check is about explains the failure, unless the frame itself tells another mistake.
    mutating func name(_ mistake: String) {
        if cause == nil || cause == "good-frame-refused" { cause = mistake }
    }
}

extension Cause {
    /// A ping came, the next receive waits, and nothing was sent between them.
    static let pingNotAnswered = Cause("ping-not-answered") { evidence in
        evidence.timeline.silentAfter(Opcode.ping.rawValue)
    }

    static let closeNotAnswered = Cause("close-not-answered") { evidence in
        evidence.timeline.silentAfter(Opcode.close.rawValue)
    }

    /// One byte came in, and an answer was made of it.
    static let oneReceiveOneFrame = Cause("one-recv-one-frame") { evidence in
        if evidence.ending?.signal != nil { return "" }
        return evidence.timeline.calls.last { $0.isReceive && $0.result > 0 && $0.result < $0.length }.map { _ in "" }
    }
}

extension Timeline {
    var receivedSoFar: Int {
        calls.filter { $0.isReceive && $0.result > 0 }.reduce(0) { $0 + Int($1.result) }
    }

    /// The last receive that brought a frame with this opcode, if nothing was sent after it.
    func silentAfter(_ opcode: UInt8) -> String? {
        guard let index = calls.lastIndex(where: { $0.isReceive && $0.result > 0 && $0.data.first == 0x80 | opcode })
        else { return nil }
        let isSilent = !calls[index...].contains { $0.isSend && $0.descriptor == calls[index].descriptor }
        return isSilent ? calls[index].callText : nil
    }
}
