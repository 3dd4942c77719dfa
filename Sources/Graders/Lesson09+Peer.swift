// The grader's end of a WebSocket: frames over a StreamPeer, as wrong as a check wants them, and frames that come back,
// looked at byte by byte. Nothing here is shared with what it judges.
import Course
import GraderKit
import Sockets
import Wire

/// A frame as it came.
struct ReceivedFrame: Equatable {
    var isFinal: Bool
    var reserved: UInt8
    var opcode: UInt8
    var isMasked: Bool
    /// Without the mask.
    var payload: [UInt8]
    /// Its length was in a longer form than necessary.
    var isLongForm: Bool

    /// A good frame of a server.
    static func whole(_ opcode: UInt8, _ payload: [UInt8], masked: Bool = false) -> ReceivedFrame {
        ReceivedFrame(
            isFinal: true, reserved: 0, opcode: opcode, isMasked: masked, payload: payload, isLongForm: false)
    }

    /// `text "hello"`, and whatever is unusual about it.
    var words: String {
        let names: [UInt8: String] = [
            0: say("continuation", "延续帧"), 1: say("text", "文本"), 2: say("binary", "二进制"), 8: say("close", "关闭"),
            9: "ping", 10: "pong",
        ]
        var text = names[opcode] ?? say("opcode \(opcode)", "操作码 \(opcode)")
        if opcode == 8, payload.count >= 2 {
            text += " \(Int(payload[0]) << 8 | Int(payload[1]))"
            if payload.count > 2 { text += " " + quoted(Array(payload[2...])) }
        } else {
            text += " " + (opcode == 2 ? hexText(payload) : quoted(payload, most: 60))
        }
        if !isFinal { text += say(", not final", "，不是最后一片（FIN=0）") }
        if isMasked { text += say(", masked", "，带掩码") }
        if reserved != 0 { text += say(", reserved bits \(hex(reserved))", "，保留位 \(hex(reserved))") }
        if isLongForm { text += say(", a longer length than necessary", "，长度用了过长的形式") }
        return text
    }

    /// It is that frame, but for FIN.
    func lacksFinalBit(of wanted: ReceivedFrame) -> Bool {
        var frame = self
        frame.isFinal = true
        return !isFinal && frame == wanted
    }

    /// The first frame in `bytes`, and how long it is; nil if it is not all there.
    static func first(in bytes: ArraySlice<UInt8>) -> (frame: ReceivedFrame, length: Int)? {
        let bytes = Array(bytes.prefix(14)) + bytes.dropFirst(14)
        guard bytes.count >= 2 else { return nil }
        let short = Int(bytes[1] & 0x7F)
        let form = short == 126 ? 2 : short == 127 ? 8 : 0
        guard bytes.count >= 2 + form else { return nil }
        let length = form == 0 ? short : bytes[2..<2 + form].reduce(0) { ($0 & 0xFF_FFFF_FFFF) << 8 | Int($1) }
        let isMasked = bytes[1] & 0x80 != 0
        let size = 2 + form + (isMasked ? 4 : 0)
        guard bytes.count >= size + length else { return nil }
        var payload = Array(bytes[size..<size + length])
        if isMasked { for index in payload.indices { payload[index] ^= bytes[size - 4 + index % 4] } }
        let frame = ReceivedFrame(
            isFinal: bytes[0] & 0x80 != 0, reserved: bytes[0] & 0x70, opcode: bytes[0] & 0x0F, isMasked: isMasked,
            payload: payload, isLongForm: form == 2 && length < 126 || form == 8 && length < 65536)
        return (frame, size + length)
    }
}

/// Are these bytes a whole frame for who reads its extended length the wrong way round, though not for others?
func isWholeInLittleEndian(_ bytes: some Collection<UInt8>) -> Bool {
    let head = Array(bytes.prefix(10))
    guard head.count >= 4, head[1] & 0x7F >= 126 else { return false }
    let form = head[1] & 0x7F == 126 ? 2 : 8
    guard head.count >= 2 + form else { return false }
    let length = head[2..<2 + form].reversed().reduce(0 as UInt64) { $0 << 8 | UInt64($1) }
    let size = UInt64(2 + form + (head[1] & 0x80 == 0 ? 0 : 4))
    return length >= (form == 2 ? 126 : 65_536) && length <= UInt64(bytes.count) - min(size, UInt64(bytes.count))
}

/// The grader as a WebSocket client.
final class WebSocketPeer {
    let stream: StreamPeer
    private let trial: Trial
    /// Received, and not looked at yet.
    private var rest: [UInt8] = []

    init(_ stream: StreamPeer, _ trial: Trial) {
        self.stream = stream
        self.trial = trial
    }

    // MARK: The handshake

    /// - Parameter behind: bytes that go out with the request, before the answer has come.
    func shakeHands(_ request: Request? = nil, behind: [UInt8] = []) throws {
        let key = base64(trial.random.bytes(16))
        let request = request?.with("Sec-WebSocket-Key", key) ?? Request(key: key)
        try stream.send(request.bytes + behind)
        let head = try receiveHead()
        if let fault = faultOfAcceptance(head, key: key) {
            throw Failure(
                expected: say("an answer on \(stream.name) with ", "\(stream.name)收到应答，应有 ") + fault.text,
                got: quoted(head, most: 400), cause: fault.cause)
        }
    }

    /// The head of an HTTP response: up to its empty line.
    func receiveHead() throws -> [UInt8] {
        let expected = say("an answer to the handshake on \(stream.name)", "\(stream.name)上对握手的应答")
        let deadline = Deadline()
        while true {
            for index in rest.indices.dropFirst(3) where rest[index - 3...index].elementsEqual([13, 10, 13, 10]) {
                let head = Array(rest[...index])
                rest.removeFirst(index + 1)
                return head
            }
            switch try stream.receive(1 << 16, until: deadline, expected: expected) {
            case .bytes(let bytes): rest += bytes
            case .end, .broken:
                throw Failure(
                    expected: expected,
                    got: rest.isEmpty ? say("the connection was closed", "连接被关闭") : quoted(rest, most: 200))
            case .late:
                throw Failure(
                    expected: expected, got: rest.isEmpty ? say("nothing", "什么也没有") : quoted(rest, most: 200),
                    cause: rest.isEmpty ? nil : "head-without-end")
            }
        }
    }

    /// Everything up to the end of the stream, after `receiveHead`.
    func receiveBody() throws -> [UInt8] { rest + (try stream.receiveToEnd()) }

    // MARK: Frames

    func send(_ opcode: UInt8, _ payload: [UInt8], isFinal: Bool = true) throws {
        try stream.send(frame(opcode, payload, isFinal: isFinal))
    }

    func send(_ text: String) throws { try send(textOpcode, Array(text.utf8)) }

    /// As a client sends it.
    func frame(_ opcode: UInt8, _ payload: [UInt8], isFinal: Bool = true) -> [UInt8] {
        wireFrame(opcode, payload, isFinal: isFinal, mask: trial.random.mask())
    }

    enum Next {
        case frame(ReceivedFrame)
        case end
        case broken(Int32)
        case late
    }

    /// The next frame; a part of one at the end of the stream is thrown as a failure.
    func next(_ expected: String, until deadline: Deadline = Deadline()) throws -> Next {
        while true {
            if let (frame, length) = ReceivedFrame.first(in: rest[...]) {
                rest.removeFirst(length)
                trial.note(say("\(stream.name): received ", "\(stream.name)：收到 ") + frame.words)
                return .frame(frame)
            }
            switch try stream.receive(1 << 18, until: deadline, expected: expected) {
            case .bytes(let bytes): rest += bytes
            case .end:
                guard rest.isEmpty else {
                    throw Failure(
                        expected: expected,
                        got: say("the connection was closed in the midst of a frame: ", "连接在一帧中间被关闭：") + hexText(rest))
                }
                return .end
            case .broken(let code): return .broken(code)
            case .late:
                guard rest.isEmpty else {
                    throw Failure(
                        expected: expected, got: say("only a part of a frame: ", "只有帧的一部分：") + hexText(rest),
                        cause: isWholeInLittleEndian(rest) ? "extended-length-little-endian" : nil)
                }
                return .late
            }
        }
    }

    /// - Parameter diagnose: names the mistake by the frame that came instead.
    func expect(
        _ opcode: UInt8, _ payload: [UInt8], within seconds: Double = Deadline.patience,
        diagnose: (ReceivedFrame) -> String? = { _ in nil }
    ) throws {
        let wanted = ReceivedFrame.whole(opcode, payload)
        let sentence = say("\(wanted.words) on \(stream.name)", "\(stream.name)收到 \(wanted.words)")
        switch try next(sentence, until: Deadline(in: seconds)) {
        case .frame(let frame):
            guard frame != wanted else { return }
            throw Failure(
                expected: sentence, got: frame.words,
                difference: frame.opcode == opcode && payload.count > 8 && frame.payload != payload
                    ? byteDifference(expected: payload, got: frame.payload) : [],
                cause: frame.lacksFinalBit(of: wanted)
                    ? "final-bit-wrong" : diagnose(frame) ?? mistake(in: frame, instead: wanted))
        case .end:
            throw Failure(expected: sentence, got: say("the connection was closed", "连接被关闭"))
        case .broken(let code):
            throw Failure(expected: sentence, got: say("the connection was broken: ", "连接断开：") + errorText(code))
        case .late:
            throw Failure(
                expected: sentence, got: say("nothing", "什么也没有"),
                cause: opcode == Opcode.pong.rawValue ? "ping-not-answered" : nil)
        }
    }

    func expect(_ text: String, diagnose: (ReceivedFrame) -> String? = { _ in nil }) throws {
        try expect(textOpcode, Array(text.utf8), diagnose: diagnose)
    }

    /// What any check can tell from a frame alone.
    private func mistake(in frame: ReceivedFrame, instead wanted: ReceivedFrame) -> String? {
        if frame.isMasked { return "server-masks" }
        if frame.isLongForm { return "longer-form-used" }
        if frame.reserved != 0 { return "reserved-bits-sent" }
        if let cause = mistakenOpcode(frame.opcode, frame.payload, insteadOf: wanted.opcode, wanted.payload) {
            return cause
        }
        if wanted.opcode == 8 && frame.opcode == 8 && wanted.payload.count >= 2 && frame.payload.isEmpty {
            return "close-code-not-returned"
        }
        if frame.opcode == 8, wanted.opcode != 8 { return "good-frame-refused" }
        // What was asked after the ping is answered before it.
        if wanted.opcode == 10, frame.opcode <= 2 { return "ping-not-answered" }
        if wanted.opcode == 10, frame.opcode == 10, frame.payload != wanted.payload { return "pong-with-other-payload" }
        return nil
    }

    /// A close frame with one of these codes (nil: an empty one), with any reason; then the end of the stream.
    func expectClose(_ codes: [UInt16?], cause: String? = nil) throws {
        let names = codes.map { $0.map { "\($0)" } ?? say("no code", "无代码") }.joined(separator: say(" or ", " 或 "))
        let sentence = say("a close frame with \(names) on \(stream.name)", "\(stream.name)收到关闭帧，代码 \(names)")
        switch try next(sentence) {
        case .frame(let frame):
            let bytes = frame.payload
            let code: UInt16? = bytes.count >= 2 ? UInt16(bytes[0]) << 8 | UInt16(bytes[1]) : nil
            guard frame == .whole(closeOpcode, bytes), bytes.count != 1, bytes.count <= 125, codes.contains(code) else {
                let wanted = ReceivedFrame.whole(closeOpcode, codes.first??.bigEndianPayload ?? [])
                let isRightButFinal = frame.lacksFinalBit(of: .whole(closeOpcode, bytes)) && codes.contains(code)
                throw Failure(
                    expected: sentence, got: frame.words,
                    cause: isRightButFinal ? "final-bit-wrong" : cause ?? mistake(in: frame, instead: wanted))
            }
        case .end:
            throw Failure(
                expected: sentence, got: say("the connection was closed without it", "连接被关闭，没有关闭帧"),
                cause: cause ?? "closed-without-close-frame")
        case .broken(let code):
            throw Failure(
                expected: sentence, got: say("the connection was broken: ", "连接断开：") + errorText(code),
                cause: cause ?? (code == ECONNRESET ? "closed-with-unread-bytes" : nil))
        case .late:
            throw Failure(expected: sentence, got: say("nothing", "什么也没有"), cause: cause ?? "close-not-answered")
        }
    }

    /// Who is in may be silent for longer than a handshake may take: 12 s.
    func expectKeptThroughSilence() throws {
        let silence = say("nothing on \(stream.name), which is silent for 12 s", "\(stream.name)沉默 12 秒，什么也收不到")
        let isOver = Deadline(in: 12)
        while true {
            switch try next(silence, until: isOver) {
            case .late: return
            // It may ask whether anybody is there.
            case .frame(let frame) where frame.opcode == Opcode.ping.rawValue:
                try send(Opcode.pong.rawValue, frame.payload)
            case .frame(let frame): throw Failure(expected: silence, got: frame.words)
            case .end, .broken:
                throw Failure(
                    expected: silence, got: say("the connection was closed", "连接被关闭"), cause: "silent-session-ended")
            }
        }
    }

    /// The program closes its side, and nothing comes before that.
    func expectEnd() throws {
        let sentence = say("the program closes \(stream.name)", "程序关闭\(stream.name)")
        switch try next(sentence) {
        case .end: return
        case .frame(let frame):
            throw Failure(
                expected: sentence, got: frame.words,
                cause: frame.opcode == Opcode.close.rawValue ? "second-close" : nil)
        case .broken(let code):
            throw Failure(
                expected: sentence, got: say("it was reset: ", "连接被重置：") + errorText(code),
                cause: code == ECONNRESET ? "closed-with-unread-bytes" : nil)
        case .late:
            throw Failure(
                expected: sentence, got: say("it is still open", "它仍然开着"), cause: "open-after-close")
        }
    }
}

extension UInt16 {
    fileprivate var bigEndianPayload: [UInt8] { bigEndianBytes(self) }
}

extension Server {
    /// A client whose handshake is done.
    func webSocket(_ trial: Trial, smallBuffers: Bool = false) throws -> WebSocketPeer {
        let peer = WebSocketPeer(try connect(smallBuffers: smallBuffers), trial)
        try peer.shakeHands()
        return peer
    }
}

extension StreamPeer {
    /// Who asks for no WebSocket gets the page and nothing more, and is closed when it ends.
    func expectPage(_ page: [UInt8], for target: String) throws {
        try send("GET \(target) HTTP/1.1\r\nHost: localhost\r\n\r\n")
        do {
            try expect(page)
            halfClose()
            try expectEnd()
        } catch var failure as Failure {
            if !page.starts(with: received) { failure.name("page-changed") }
            throw failure
        }
    }
}
