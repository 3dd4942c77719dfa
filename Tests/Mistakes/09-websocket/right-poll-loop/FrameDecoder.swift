// The header is collected byte by byte, and judged after each of them; the payload is taken in pieces.
import Course

struct FrameDecoder: WebSocketDecoder {
    let role: WebSocketRole
    let limit: Int

    private var input: [UInt8] = []
    private var position = 0

    private var header: [UInt8] = []
    private var opcode = Opcode.continuation
    private var isFinal = false
    /// Bytes of payload that have not come; nil: it is in a header.
    private var left: Int?
    private var mask: [UInt8] = []
    private var turn = 0

    private var kind: Opcode?
    private var message: [UInt8] = []
    private var gate = TextGate()
    private var control: [UInt8] = []
    private var isOver = false

    init(role: WebSocketRole, limit: Int) {
        self.role = role
        self.limit = limit
    }

    mutating func feed(_ bytes: [UInt8]) {
        if isOver { return }
        if position == input.count {
            input = bytes
        } else {
            input.removeFirst(position)
            input += bytes
        }
        position = 0
    }

    mutating func next() throws -> WebSocketEvent? {
        while !isOver {
            if left == nil {
                guard try readHeader() else { return nil }
            }
            try readPayload()
            guard left == 0 else { return nil }
            left = nil
            if opcode.isControl {
                defer { control = [] }
                switch opcode {
                case .ping: return .ping(control)
                case .pong: return .pong(control)
                default:
                    isOver = true
                    return try closing(control)
                }
            }
            guard isFinal else { continue }
            defer { (message, kind, gate) = ([], nil, TextGate()) }
            if kind == .binary { return .binary(message) }
            guard gate.isShut else { throw WebSocketError.invalidText }
            return .text(message)
        }
        return nil
    }

    private func wrong(_ what: String) -> WebSocketError { .protocolError(what) }

    /// - Returns: whether it is all here.
    private mutating func readHeader() throws -> Bool {
        while position < input.count {
            let byte = input[position]
            position += 1
            header.append(byte)
            if header.count == 1 {
                guard byte & 0b0111_0000 == 0 else { throw wrong("reserved bit") }
                guard let known = Opcode(rawValue: byte & 15) else { throw wrong("opcode") }
                (opcode, isFinal) = (known, byte >= 128)
                if known.isControl {
                    guard isFinal else { throw wrong("fragment of a control frame") }
                } else {
                    guard (known == .continuation) == (kind != nil) else { throw wrong("order of fragments") }
                }
                continue
            }
            if header.count == 2 {
                guard (byte >= 128) == (role == .server) else { throw wrong("mask") }
                guard !opcode.isControl || byte & 127 < 126 else { throw wrong("long control frame") }
            }
            let more = header[1] & 127 == 127 ? 8 : header[1] & 127 == 126 ? 2 : 0
            if header.count == 2 + more { try checkLength(more) }
            if header.count == 2 + more + (role == .server ? 4 : 0) {
                mask = Array(header[(2 + more)...])
                turn = 0
                left = Int(length(more))
                if opcode == .text || opcode == .binary { kind = opcode }
                header.removeAll(keepingCapacity: true)
                return true
            }
        }
        return false
    }

    private func length(_ more: Int) -> UInt64 {
        more == 0 ? UInt64(header[1] & 127) : header[2..<(2 + more)].reduce(0) { $0 << 8 + UInt64($1) }
    }

    private func checkLength(_ more: Int) throws {
        let length = length(more)
        guard length < 1 << 63 else { throw wrong("length of 64 bits") }
        guard more == 0 || length > (more == 2 ? 125 : 65_535) else { throw wrong("length in a longer form") }
        if !opcode.isControl && Int(length) > limit - message.count { throw WebSocketError.tooLong(limit: limit) }
    }

    private mutating func readPayload() throws {
        guard let missing = left else { return }
        let count = min(missing, input.count - position)
        guard count > 0 else { return }
        var piece = Array(input[position..<(position + count)])
        position += count
        left = missing - count
        if !mask.isEmpty {
            let (turn, mask) = (turn, mask)
            piece.withUnsafeMutableBufferPointer { bytes in
                for index in 0..<bytes.count { bytes[index] ^= mask[(turn + index) & 3] }
            }
            self.turn = (turn + count) & 3
        }
        if opcode.isControl {
            control += piece
            return
        }
        message += piece
        if kind == .text && !gate.lets(piece) { throw WebSocketError.invalidText }
    }

    private func closing(_ payload: [UInt8]) throws -> WebSocketEvent {
        guard !payload.isEmpty else { return .close(code: nil, reason: "") }
        guard payload.count > 1 else { throw wrong("half a code") }
        let code = UInt16(payload[0]) * 256 + UInt16(payload[1])
        guard (1000...1003).contains(code) || (1007...1014).contains(code) || (3000...4999).contains(code) else {
            throw wrong("code \(code)")
        }
        guard let reason = String(validating: payload[2...], as: UTF8.self) else { throw WebSocketError.invalidText }
        return .close(code: code, reason: reason)
    }
}

/// RFC 3629 as a gate for one byte after the other.
private struct TextGate {
    private var need = 0
    private var low: UInt8 = 0x80
    private var high: UInt8 = 0xBF

    /// No character is in the middle of it.
    var isShut: Bool { need == 0 }

    mutating func lets(_ bytes: [UInt8]) -> Bool {
        bytes.withUnsafeBufferPointer { bytes in
            for byte in bytes {
                if need == 0 && byte < 0x80 { continue }
                if need > 0 {
                    guard byte >= low && byte <= high else { return false }
                    need -= 1
                    (low, high) = (0x80, 0xBF)
                    continue
                }
                guard byte >= 0xC2 && byte <= 0xF4 else { return false }
                need = byte < 0xE0 ? 1 : byte < 0xF0 ? 2 : 3
                if byte == 0xE0 { low = 0xA0 }
                if byte == 0xED { high = 0x9F }
                if byte == 0xF0 { low = 0x90 }
                if byte == 0xF4 { high = 0x8F }
            }
            return true
        }
    }
}
