// The grader's end of a WebSocket, in either role, over a raw connection. Nothing that it sends is checked: it can say what
// no endpoint may.
import Course
import Foundation
import GraderKit
import Sockets
import Wire

/// One frame as it came.
struct IncomingFrame: Equatable {
    var isFinal: Bool
    var reserved: UInt8
    var opcode: UInt8
    var mask: [UInt8]?
    /// Unmasked.
    var payload: [UInt8]

    /// A close that says: your frames are wrong.
    var isRefusal: Bool {
        opcode == Opcode.close.rawValue
            && [[0x03, 0xEA], [0x03, 0xEF], [0x03, 0xF1]].contains(Array(payload.prefix(2)))
    }

    /// `text "hello"`, `close 1000 "bye"`
    var text: String {
        var words = [frameName(opcode)]
        if opcode == Opcode.close.rawValue, payload.count >= 2 {
            words.append("\(UInt16(payload[0]) << 8 | UInt16(payload[1]))")
            if payload.count > 2 { words.append(quoted(Array(payload[2...]))) }
        } else if !payload.isEmpty {
            words.append(quoted(payload))
        }
        if !isFinal { words.append(say("(not final)", "（不是最后一片）")) }
        if reserved != 0 { words.append(say("(reserved bits set)", "（保留位不为 0）")) }
        return words.joined(separator: " ")
    }
}

/// A text where the same bytes should be binary, or the other way round; or a ping that was closed with 1007, as a text would be.
func mistakenOpcode(
    _ got: UInt8, _ payload: [UInt8], insteadOf opcode: UInt8, _ wanted: [UInt8]
) -> String? {
    if got != opcode, got <= 2, opcode <= 2, payload == wanted { return "opcode-changed" }
    let isRefused = got == Opcode.close.rawValue && opcode == Opcode.pong.rawValue
    return isRefused && payload.starts(with: closePayload(1007)) && !UTF8Look(wanted).isWhole
        ? "control-checked-as-text" : nil
}

func frameName(_ opcode: UInt8) -> String {
    Opcode(rawValue: opcode).map { "\($0)" } ?? say("opcode \(opcode)", "操作码 \(opcode)")
}

final class FramePeer {
    let stream: StreamPeer
    /// What the grader is on this connection.
    let role: WebSocketRole
    private var random: SeededGenerator
    /// Received, and not yet taken as frames.
    private var buffer: [UInt8]
    private var start = 0
    /// The messages that this end has sent.
    private var said: Set<[UInt8]> = []

    init(_ stream: StreamPeer, as role: WebSocketRole, random: SeededGenerator, behind: [UInt8] = []) {
        (self.stream, self.role, self.random, buffer) = (stream, role, random, behind)
    }

    var name: String { stream.name }

    // MARK: Sending

    /// - Parameter mask: as the role wants it, unless told otherwise: `.some(nil)` sends a client's frame unmasked.
    func frame(
        _ opcode: Opcode, _ payload: [UInt8] = [], isFinal: Bool = true, mask: [UInt8]?? = nil
    ) -> [UInt8] {
        let key = mask ?? (role == .client ? random.bytes(4) : nil)
        return wireFrame(opcode.rawValue, payload, isFinal: isFinal, mask: key)
    }

    func send(_ opcode: Opcode, _ payload: [UInt8] = [], isFinal: Bool = true, mask: [UInt8]?? = nil) throws {
        if !opcode.isControl { said.insert(payload) }
        try stream.send(frame(opcode, payload, isFinal: isFinal, mask: mask))
    }

    /// A message that this end has sent has come back to it.
    ///
    /// - Parameter wanted: what should have come: another message of its own where an echo is due.
    private func ownWords(_ frame: IncomingFrame, insteadOf wanted: [UInt8]? = nil) -> String? {
        let isDue = wanted.map(said.contains) ?? false
        return role == .client && frame.opcode & 8 == 0 && said.contains(frame.payload) && !isDue
            ? "sender-hears-itself" : nil
    }

    func send(_ text: String) throws { try send(.text, Array(text.utf8)) }

    func sendClose(_ code: UInt16?, _ reason: String = "") throws {
        try send(.close, code.map { [UInt8($0 >> 8), UInt8($0 & 0xFF)] + Array(reason.utf8) } ?? [])
    }

    // MARK: Receiving

    enum Next {
        case frame(IncomingFrame)
        case end
        case broken(Int32)
        case late
    }

    /// The next frame, as it is: a rule that it breaks is for the check to see.
    func next(until deadline: Deadline, expected: String) throws -> Next {
        while true {
            if let frame = takeFrame() { return .frame(frame) }
            switch try stream.receive(1 << 18, until: deadline, expected: expected) {
            case .bytes(let bytes):
                if start > 0 { buffer.removeFirst(start) }
                start = 0
                buffer += bytes
            case .end: return .end
            case .broken(let code): return .broken(code)
            case .late: return .late
            }
        }
    }

    private func takeFrame() -> IncomingFrame? {
        let available = buffer.count - start
        guard available >= 2 else { return nil }
        let (first, second) = (buffer[start], buffer[start + 1])
        let lengthSize = second & 0x7F == 126 ? 2 : second & 0x7F == 127 ? 8 : 0
        let header = 2 + lengthSize + (second & 0x80 == 0 ? 0 : 4)
        guard available >= header else { return nil }
        let length =
            lengthSize == 0
            ? UInt64(second & 0x7F)
            : buffer[(start + 2)..<(start + 2 + lengthSize)].reduce(0 as UInt64) { $0 << 8 | UInt64($1) }
        guard UInt64(available - header) >= length else { return nil }
        let mask = second & 0x80 == 0 ? nil : Array(buffer[(start + header - 4)..<(start + header)])
        var payload = Array(buffer[(start + header)..<(start + header + Int(length))])
        if let mask { for index in payload.indices { payload[index] ^= mask[index & 3] } }
        start += header + Int(length)
        return IncomingFrame(
            isFinal: first & 0x80 != 0, reserved: first & 0x70, opcode: first & 0x0F, mask: mask, payload: payload)
    }

    /// The next frame; that none comes is a failure.
    ///
    /// - Parameter causeIfLate: where silence means another mistake than the end of the connection.
    func nextFrame(
        _ expected: String, within seconds: Double = Deadline.patience, cause: String? = nil,
        causeIfLate: String? = nil, causeIfEnded: String? = nil
    ) throws -> IncomingFrame {
        let sentence = say(
            "\(expected) on \(name) within \(Int(seconds * Deadline.scale)) s",
            "\(name)在 \(Int(seconds * Deadline.scale)) 秒内收到 \(expected)")
        switch try next(until: Deadline(in: seconds), expected: sentence) {
        case .frame(let frame): return frame
        case .late:
            let rest = buffer.count - start
            throw Failure(
                expected: sentence,
                got: rest == 0
                    ? say("nothing", "什么也没有")
                    : say("\(byteCount(rest)) that are no whole frame", "\(byteCount(rest))，不成一帧"),
                cause: isWholeInLittleEndian(buffer[start...]) ? "extended-length-little-endian" : causeIfLate ?? cause)
        case .end:
            throw Failure(
                expected: sentence, got: say("the connection was closed", "连接被关闭"), cause: causeIfEnded ?? cause)
        case .broken(let code):
            throw Failure(
                expected: sentence,
                got: say("the connection was broken: \(errorText(code))", "连接断开：\(errorText(code))"),
                cause: causeIfEnded ?? cause)
        }
    }

    /// The next frame is this one, in the form that the role of the program wants.
    @discardableResult
    func expect(
        _ opcode: Opcode, _ payload: [UInt8], within seconds: Double = Deadline.patience, cause: String? = nil,
        causeIfLate: String? = nil
    ) throws -> IncomingFrame {
        let wanted = IncomingFrame(isFinal: true, reserved: 0, opcode: opcode.rawValue, payload: payload).text
        let frame = try nextFrame(wanted, within: seconds, causeIfLate: causeIfLate)
        try checkMask(frame)
        let isSame = frame.reserved == 0 && frame.opcode == opcode.rawValue && frame.payload == payload
        guard frame.isFinal, isSame else {
            throw Failure(
                expected: say("\(wanted) on \(name)", "\(name)收到 \(wanted)"), got: frame.text,
                difference: frame.opcode == opcode.rawValue
                    ? byteDifference(expected: payload, got: frame.payload) : [],
                cause: isSame ? "final-bit-wrong" : mistake(in: frame, insteadOf: opcode, payload) ?? cause)
        }
        return frame
    }

    /// What any check can tell from a frame alone.
    private func mistake(in frame: IncomingFrame, insteadOf opcode: Opcode, _ payload: [UInt8]) -> String? {
        if let cause = mistakenOpcode(frame.opcode, frame.payload, insteadOf: opcode.rawValue, payload) { return cause }
        // The first bytes of it, as many as its length says with the bytes of that the other way round.
        if (126...0xFFFF).contains(payload.count), payload.starts(with: frame.payload),
            frame.payload.count == Int(UInt16(payload.count).byteSwapped)
        {
            return "extended-length-little-endian"
        }
        return frame.isRefusal ? "good-frame-refused" : ownWords(frame, insteadOf: payload)
    }

    func expect(_ text: String) throws { try expect(.text, Array(text.utf8)) }

    /// A client masks, a server does not.
    func checkMask(_ frame: IncomingFrame) throws {
        if role == .server && frame.mask == nil {
            throw Failure(
                expected: say("a client's frames are masked", "客户端的帧带掩码"),
                got: say("\(frame.text), not masked", "\(frame.text)，没有掩码"), cause: "mask-missing")
        }
        if role == .client && frame.mask != nil {
            throw Failure(
                expected: say("a server's frames are not masked", "服务器的帧不带掩码"),
                got: say("\(frame.text), masked", "\(frame.text)，带掩码"), cause: "server-masks")
        }
    }

    /// A close frame with this code (nil: empty), and then the end of the stream.
    func expectClose(
        _ code: UInt16?, cause: String? = nil, causeIfLate: String? = nil, causeIfEnded: String? = nil
    ) throws {
        let wanted = code.map { "close \($0)" } ?? say("an empty close frame", "空的关闭帧")
        let frame = try nextFrame(wanted, cause: cause, causeIfLate: causeIfLate, causeIfEnded: causeIfEnded)
        try checkMask(frame)
        let got = frame.payload.count >= 2 ? UInt16(frame.payload[0]) << 8 | UInt16(frame.payload[1]) : nil
        guard frame.opcode == Opcode.close.rawValue, got == code, frame.payload.count != 1 else {
            throw Failure(
                expected: say("\(wanted) on \(name)", "\(name)收到 \(wanted)"), got: frame.text,
                cause: frame.opcode != Opcode.close.rawValue
                    ? ownWords(frame)
                    : cause == "error-not-told" && got != nil ? "close-code-of-another-error" : cause)
        }
    }

    /// The connection ends, with a reset or without; frames that come before that do not matter.
    func expectDropped(within seconds: Double = Deadline.patience, cause: String? = nil) throws {
        let sentence = say("the program ends \(name)", "程序结束\(name)")
        let deadline = Deadline(in: seconds)
        while true {
            switch try next(until: deadline, expected: sentence) {
            case .frame: continue
            case .end, .broken: return
            case .late: throw Failure(expected: sentence, got: say("it is still open", "它仍然开着"), cause: cause)
            }
        }
    }

    func leave() throws {
        try sendClose(1000)
        try expectClose(1000)
        stream.close()
    }
}

// MARK: - The handshake

/// The key of RFC 6455's example, and its answer.
let exampleKey = "dGhlIHNhbXBsZSBub25jZQ=="

func acceptFor(_ key: String) -> String {
    Data(sha1(Array((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").utf8))).base64EncodedString()
}

/// A request as browsers send it.
func upgradeRequest(origin: String? = nil, key: String = exampleKey) -> [UInt8] {
    var lines = [
        "GET / HTTP/1.1", "Host: localhost", "Connection: keep-alive, Upgrade", "Upgrade: websocket",
        "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: \(key)",
    ]
    if let origin { lines.append("Origin: \(origin)") }
    return Array((lines + ["", ""]).joined(separator: "\r\n").utf8)
}

extension StreamPeer {
    /// Everything up to the empty line, and what has come behind it.
    func receiveHead(_ expected: String) throws -> (head: String, behind: [UInt8]) {
        let deadline = Deadline()
        var got: [UInt8] = []
        while true {
            if let end = Data(got).range(of: Data("\r\n\r\n".utf8))?.upperBound {
                return (String(decoding: got[..<end], as: UTF8.self), Array(got[end...]))
            }
            switch try receive(4096, until: deadline, expected: expected) {
            case .bytes(let bytes): got += bytes
            case .end:
                throw Failure(
                    expected: expected,
                    got: say("the connection was closed after \(quoted(got))", "收到 \(quoted(got)) 后连接被关闭"))
            case .broken(let code): throw Failure(expected: expected, got: errorText(code))
            case .late:
                throw Failure(
                    expected: expected, got: got.isEmpty ? say("nothing", "什么也没有") : quoted(got),
                    cause: got.isEmpty ? nil : "head-without-end")
            }
        }
    }
}

extension Trial {
    /// A client that is connected to a WebSocket server, its handshake done.
    func join(_ server: Server, origin: String? = nil, smallBuffers: Bool = false) throws -> FramePeer {
        let stream = try server.connect(smallBuffers: smallBuffers)
        return try shakeHands(stream, origin: origin)
    }

    func shakeHands(_ stream: StreamPeer, origin: String? = nil) throws -> FramePeer {
        try stream.send(upgradeRequest(origin: origin))
        return try finishOpening(stream)
    }

    /// The answer to a request that was sent already.
    func finishOpening(_ stream: StreamPeer) throws -> FramePeer {
        let expected = say("an answer 101 on \(stream.name)", "\(stream.name)收到 101 应答")
        let (head, behind) = try stream.receiveHead(expected)
        let lines = head.components(separatedBy: "\r\n")
        guard lines[0].hasPrefix("HTTP/1.1 101"),
            lines.contains(where: {
                $0.lowercased().hasPrefix("sec-websocket-accept:") && $0.hasSuffix(acceptFor(exampleKey))
            })
        else {
            throw Failure(
                expected: expected
                    + say(" with Sec-WebSocket-Accept: ", "，应有 Sec-WebSocket-Accept: ") + acceptFor(exampleKey),
                got: quoted(Array(head.utf8), most: 400),
                cause: faultOfAcceptance(Array(head.utf8), key: exampleKey)?.cause)
        }
        return FramePeer(
            stream, as: .client, random: SeededGenerator(seed: random.next()), behind: behind)
    }
}
