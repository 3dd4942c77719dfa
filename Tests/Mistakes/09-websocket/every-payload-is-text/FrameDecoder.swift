import Course

struct FrameDecoder: WebSocketDecoder {
    let role: WebSocketRole
    let limit: Int

    private var pending: [UInt8] = []
    private var cursor = 0

    /// The frame whose payload is being received.
    private var opcode: Opcode?
    private var isLast = false
    private var toCome = 0
    private var mask: [UInt8] = []
    private var maskIndex = 0

    /// The message that has begun, and what has come of it.
    private var kind: Opcode?
    private var parts: [UInt8] = []
    private var control: [UInt8] = []
    private var spelling = UTF8Validator()
    private var saidGoodbye = false

    init(role: WebSocketRole, limit: Int) {
        self.role = role
        self.limit = limit
    }

    mutating func feed(_ bytes: [UInt8]) {
        if cursor > 4096 && cursor * 2 > pending.count || cursor == pending.count {
            pending.removeSubrange(..<cursor)
            cursor = 0
        }
        pending.append(contentsOf: bytes)
    }

    mutating func next() throws -> WebSocketEvent? {
        while !saidGoodbye {
            if opcode == nil {
                guard try readHeader() else { return nil }
            }
            try readPayload()
            if toCome > 0 { return nil }
            if let event = try finishFrame() { return event }
        }
        return nil
    }

    // MARK: Header

    /// - Returns: false if there is not all of it.
    private mutating func readHeader() throws -> Bool {
        let here = pending.count - cursor
        guard here > 0 else { return false }
        let one = pending[cursor]
        if one & 0b0111_0000 != 0 { throw WebSocketError.protocolError("reserved bits") }
        guard let found = Opcode(rawValue: one & 0b1111) else { throw WebSocketError.protocolError("unknown opcode") }
        let final = one >= 0x80
        if found.isControl {
            if !final { throw WebSocketError.protocolError("a control frame has no fragments") }
        } else if (found == .continuation) != (kind != nil) {
            throw WebSocketError.protocolError("frames out of order")
        }

        guard here > 1 else { return false }
        let two = pending[cursor + 1]
        if (two >= 0x80) != (role == .server) { throw WebSocketError.protocolError("only clients mask") }
        let seven = two & 0x7F
        if found.isControl && seven > 125 { throw WebSocketError.protocolError("control frames are short") }

        var size = 2
        var length = UInt64(seven)
        if seven > 125 {
            size = seven == 126 ? 4 : 10
            guard here >= size else { return false }
            length = 0
            for byte in pending[(cursor + 2)..<(cursor + size)] { length = length << 8 | UInt64(byte) }
            if length < 126 || seven == 127 && length < 65_536 {
                throw WebSocketError.protocolError("a shorter form would do")
            }
            if length > UInt64(Int64.max) { throw WebSocketError.protocolError("the highest bit of a length") }
        }
        if !found.isControl && length > UInt64(max(limit - parts.count, 0)) {
            throw WebSocketError.tooLong(limit: limit)
        }

        if role == .server {
            guard here >= size + 4 else { return false }
            mask = Array(pending[(cursor + size)..<(cursor + size + 4)])
            size += 4
        }
        cursor += size
        (opcode, isLast, toCome, maskIndex) = (found, final, Int(length), 0)
        if found == .text || found == .binary { kind = found }
        return true
    }

    // MARK: Payload

    private mutating func readPayload() throws {
        let count = min(toCome, pending.count - cursor)
        guard count > 0, let opcode else { return }
        var piece = Array(pending[cursor..<(cursor + count)])
        cursor += count
        toCome -= count
        if role == .server {
            let turned = (0..<4).map { mask[($0 + maskIndex) % 4] }
            piece.withUnsafeMutableBytes { applyMask(turned, to: $0[0...]) }
            maskIndex = (maskIndex + count) % 4
        }
        // A text is checked as it comes, each byte once, in the midst of whatever character we are.
        if kind == .text && !piece.withUnsafeBytes({ spelling.accepts($0) }) { throw WebSocketError.invalidText }
        if opcode.isControl { control += piece } else { parts += piece }
    }

    private mutating func finishFrame() throws -> WebSocketEvent? {
        guard let done = opcode else { return nil }
        opcode = nil
        if done.isControl {
            let payload = control
            control = []
            if done == .ping { return .ping(payload) }
            if done == .pong { return .pong(payload) }
            saidGoodbye = true
            return try farewell(payload)
        }
        guard isLast, let finished = kind else { return nil }
        let message = parts
        let isWhole = spelling.isBetweenCharacters
        (kind, parts, spelling) = (nil, [], UTF8Validator())
        if finished == .binary { return .binary(message) }
        guard isWhole else { throw WebSocketError.invalidText }
        return .text(message)
    }

    private func farewell(_ payload: [UInt8]) throws -> WebSocketEvent {
        switch payload.count {
        case 0: return .close(code: nil, reason: "")
        case 1: throw WebSocketError.protocolError("one byte is no code")
        default: break
        }
        let code = UInt16(payload[0]) * 256 + UInt16(payload[1])
        let allowed: [ClosedRange<UInt16>] = [1000...1003, 1007...1014, 3000...4999]
        guard allowed.contains(where: { $0.contains(code) }) else { throw WebSocketError.protocolError("code \(code)") }
        guard let reason = String(validatingUTF8: payload[2...].map { CChar(bitPattern: $0) } + [0]),
            reason.utf8.count == payload.count - 2
        else {
            var checker = UTF8Validator()
            let rest = Array(payload[2...])
            guard rest.withUnsafeBytes({ checker.accepts($0) }), checker.isBetweenCharacters else {
                throw WebSocketError.invalidText
            }
            return .close(code: code, reason: String(decoding: rest, as: UTF8.self))
        }
        return .close(code: code, reason: reason)
    }
}
