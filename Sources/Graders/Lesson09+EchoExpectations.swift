// Lesson 09: what is asked of an echo server again and again.
import Course
import GraderKit
import Sockets
import Wire

/// A handshake, and then one message, always with the same mask: the same bytes each time.
let oneMessage: Exchange = {
    let text = Array("Hello, 世界".utf8)
    var exchange = Exchange(question: wireFrame(textOpcode, text, mask: [0x37, 0xFA, 0x21, 0x3D])) { client in
        try client.expect(frame: wireFrame(textOpcode, text))
    }
    exchange.opening = Exchange.Opening(bytes: Request(key: sampleKey).bytes) { client in
        try client.expectSwitching()
    }
    // A close frame, unmasked and with a status or nothing in it: it comes too late, and does no harm.
    exchange.isGoodbye = { $0.count >= 2 && $0[0] == 0x88 && $0[1] != 1 && $0[1] < 126 && $0.count == 2 + Int($0[1]) }
    return exchange
}()

extension StreamPeer {
    /// The next bytes are those of this frame, the answer to a good one.
    func expect(frame: [UInt8]) throws {
        let start = received.count
        do { try expect(frame) } catch var failure as Failure {
            let got = received[start...]
            if let first = got.first, first == frame[0] & 0x7F, frame.dropFirst().starts(with: got.dropFirst()) {
                failure.cause = failure.cause ?? "final-bit-wrong"
            }
            if frame[0] == 0x80 | pongOpcode, got.starts(with: frame[..<2]), got.count > 2 {
                failure.cause = failure.cause ?? "pong-with-other-payload"
            }
            if got.first == 0x80 | closeOpcode { failure.cause = failure.cause ?? "good-frame-refused" }
            throw failure
        }
    }

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
    /// Does the program wait for the rest of this message, with its length the wrong way round? It gets that rest.
    func isTakenForLonger(_ message: [UInt8]) -> Bool {
        let longer = Int(UInt16(truncatingIfNeeded: message.count).byteSwapped)
        guard (126...0xFFFF).contains(message.count), longer > message.count,
            (try? stream.send([UInt8](repeating: 0, count: longer - message.count))) != nil,
            case .frame(let frame)? = try? next("")
        else { return false }
        return frame.payload.count == longer && frame.payload.starts(with: message)
    }

    /// The next frame, a text, whatever it says.
    func nextText(_ sentence: String) throws -> [UInt8] {
        switch try next(sentence) {
        case .frame(let frame):
            guard frame == .whole(textOpcode, frame.payload) else {
                let lacksFinalBit = frame.lacksFinalBit(of: .whole(textOpcode, frame.payload))
                throw Failure(
                    expected: sentence, got: frame.words,
                    cause: lacksFinalBit
                        ? "final-bit-wrong"
                        : frame.isMasked ? "server-masks" : frame.opcode == 2 ? "opcode-changed" : nil)
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
                let isRightButFinal =
                    frame.payload.starts(with: wanted.payload)
                    && frame.lacksFinalBit(of: .whole(closeOpcode, frame.payload))
                throw Failure(
                    expected: sentence, got: frame.words,
                    cause: isRightButFinal
                        ? "final-bit-wrong"
                        : frame.isMasked ? "server-masks" : isClose ? "close-code-of-another-error" : cause)
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
    /// The server refused a text as no UTF-8. If it is plain ASCII, its mask was put on wrongly.
    var isOfText: Bool { got.hasPrefix(ReceivedFrame.whole(closeOpcode, closePayload(1007)).words) }

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

    /// A control frame without FIN, which none may lack; or a message without it that nothing continues, though no client
    /// has sent one in fragments.
    static let finalBitMissing = Cause("final-bit-wrong") { evidence in
        let calls = evidence.timeline.calls
        let hasFragments =
            calls.contains { ($0.isReceive || $0.isSend) && $0.data.first.map { $0 & 0x8F } == 0 }
            || calls.contains { $0.isReceive && $0.result > 0 && [1, 2].contains($0.data.first) }
        return calls.first { call in
            guard call.isSend, call.data.count >= 2, let first = call.data.first else { return false }
            // A whole short frame, and nothing else: what stands in the middle of one may look like anything.
            let size = 2 + Int(call.data[1] & 0x7F) + (call.data[1] & 0x80 == 0 ? 0 : 4)
            guard size == call.length, call.data[1] & 0x7F < 126 else { return false }
            return [8, 9, 10].contains(first) || [1, 2].contains(first) && !hasFragments
        }?.callText
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
