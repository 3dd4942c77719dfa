import Course

/// Frames in, events out (RFC 6455, sections 5 to 8). The payload of a frame is taken as it comes: a frame that announces
/// 64 MiB takes no more memory than what has come of it.
struct FrameDecoder: WebSocketDecoder {
    let role: WebSocketRole
    let limit: Int

    /// What was fed and not looked at yet begins at `start`.
    private var buffer: [UInt8] = []
    private var start = 0
    private var frame: Frame?
    /// The message whose first fragment has come. Control frames may come between its fragments.
    private var messageOpcode: Opcode?
    private var message: [UInt8] = []
    private var text = UTF8Validator()
    private var control: [UInt8] = []
    private var isClosed = false

    /// The frame that is being received.
    private struct Frame {
        var isFinal: Bool
        var opcode: Opcode
        /// The bytes of payload that have not come yet.
        var missing: Int
        /// Turned so that its first byte is for the next byte of payload. Nil: not masked.
        var mask: [UInt8]?
    }

    init(role: WebSocketRole, limit: Int) {
        self.role = role
        self.limit = limit
    }

    mutating func feed(_ bytes: [UInt8]) {
        if start == buffer.count {
            buffer = bytes
            start = 0
            return
        }
        // Half of a buffer is moved at most once for each byte of the other half.
        if start > buffer.count / 2 {
            buffer.removeFirst(start)
            start = 0
        }
        buffer += bytes
    }

    mutating func next() throws -> WebSocketEvent? {
        while !isClosed {
            if frame == nil { frame = try nextHeader() }
            guard frame != nil else { return nil }
            try takePayload()
            guard let frame, frame.missing == 0 else { return nil }
            self.frame = nil
            if let event = try end(of: frame) { return event }
        }
        return nil
    }

    // MARK: The header

    /// - Returns: nil if it is not all here. What is wrong is an error as soon as it can be seen.
    private mutating func nextHeader() throws -> Frame? {
        let available = buffer.count - start
        guard available >= 1 else { return nil }
        let first = buffer[start]
        guard first & 0x70 == 0 else { throw WebSocketError.protocolError("a reserved bit is set") }
        guard let opcode = Opcode(rawValue: first & 0x0F) else { throw WebSocketError.protocolError("unknown opcode") }
        let isFinal = first & 0x80 != 0
        switch opcode {
        case .continuation:
            guard messageOpcode != nil else { throw WebSocketError.protocolError("nothing to continue") }
        case .text, .binary:
            guard messageOpcode == nil else { throw WebSocketError.protocolError("the last message is not finished") }
        case .close, .ping, .pong:
            guard isFinal else { throw WebSocketError.protocolError("a control frame in fragments") }
        }

        guard available >= 2 else { return nil }
        let second = buffer[start + 1]
        let isMasked = second & 0x80 != 0
        guard isMasked == (role == .server) else {
            throw WebSocketError.protocolError(
                isMasked ? "a server's frame is masked" : "a client's frame is not masked")
        }
        let short = Int(second & 0x7F)
        guard !opcode.isControl || short <= 125 else { throw WebSocketError.protocolError("a long control frame") }
        let lengthSize = short == 126 ? 2 : short == 127 ? 8 : 0
        guard available >= 2 + lengthSize else { return nil }
        var length = UInt64(short)
        if lengthSize > 0 {
            length = buffer[(start + 2)..<(start + 2 + lengthSize)].reduce(0) { $0 << 8 | UInt64($1) }
            guard length > (lengthSize == 2 ? 125 : 0xFFFF) else {
                throw WebSocketError.protocolError("a length in a longer form than necessary")
            }
            guard length >> 63 == 0 else { throw WebSocketError.protocolError("a length of 64 bits") }
        }
        guard opcode.isControl || length <= UInt64(max(0, limit - message.count)) else {
            throw WebSocketError.tooLong(limit: limit)
        }

        let size = 2 + lengthSize + (isMasked ? 4 : 0)
        guard available >= size else { return nil }
        let mask = isMasked ? Array(buffer[(start + size - 4)..<(start + size)]) : nil
        start += size
        if opcode == .text || opcode == .binary { messageOpcode = opcode }
        return Frame(isFinal: isFinal, opcode: opcode, missing: Int(length), mask: mask)
    }

    // MARK: The payload

    /// What is here of it: copied, unmasked, and if it is text, checked.
    private mutating func takePayload() throws {
        guard var frame else { return }
        let count = min(frame.missing, buffer.count - start)
        guard count > 0 else { return }
        let piece = buffer[start..<(start + count)]
        start += count
        frame.missing -= count
        let isText = !frame.opcode.isControl && messageOpcode == .text
        if frame.opcode.isControl {
            control.append(piece, unmaskedBy: frame.mask)
        } else {
            message.append(piece, unmaskedBy: frame.mask)
        }
        if frame.missing > 0, let mask = frame.mask { frame.mask = (0..<4).map { mask[($0 + count) & 3] } }
        self.frame = frame
        if isText && !message.withUnsafeBytes({ text.accepts(UnsafeRawBufferPointer(rebasing: $0.suffix(count))) }) {
            throw WebSocketError.invalidText
        }
    }

    /// - Returns: nil for a fragment that is not the last.
    private mutating func end(of frame: Frame) throws -> WebSocketEvent? {
        if frame.opcode.isControl {
            defer { control = [] }
            switch frame.opcode {
            case .ping: return .ping(control)
            case .pong: return .pong(control)
            default:
                return try closeEvent(control)
            }
        }
        guard frame.isFinal else { return nil }
        defer { (messageOpcode, message, text) = (nil, [], UTF8Validator()) }
        guard messageOpcode == .text else { return .binary(message) }
        // It must not end in the midst of a character.
        guard text.isBetweenCharacters else { throw WebSocketError.invalidText }
        return .text(message)
    }

    private func closeEvent(_ payload: [UInt8]) throws -> WebSocketEvent {
        if payload.isEmpty { return .close(code: nil, reason: "") }
        guard payload.count >= 2 else { throw WebSocketError.protocolError("half a close code") }
        let code = UInt16(payload[0]) << 8 | UInt16(payload[1])
        switch code {
        // 1004 to 1006 and 1015 are not for the wire; the others below 3000 have no meaning yet (section 7.4).
        case 1000...1003, 1007...1014, 3000...4999: break
        default: throw WebSocketError.protocolError("close code \(code)")
        }
        var reason = UTF8Validator()
        guard payload.withUnsafeBytes({ reason.accepts(UnsafeRawBufferPointer(rebasing: $0[2...])) }),
            reason.isBetweenCharacters
        else { throw WebSocketError.invalidText }
        return .close(code: code, reason: String(decoding: payload[2...], as: UTF8.self))
    }
}

extension [UInt8] {
    fileprivate mutating func append(_ piece: ArraySlice<UInt8>, unmaskedBy mask: [UInt8]?) {
        let old = count
        append(contentsOf: piece)
        if let mask { withUnsafeMutableBytes { applyMask(mask, to: $0[old...]) } }
    }
}
