import Course

/// A frame is looked at when all of it is here; its header, as soon as that is.
struct FrameDecoder: WebSocketDecoder {
    let role: WebSocketRole
    let limit: Int

    private var inbox: [UInt8] = []
    private var taken = 0
    private var header: Header?
    private var parts: Parts?
    private var hasClosed = false

    private struct Header {
        var opcode: Opcode
        var isFinal: Bool
        var mask: [UInt8]?
        var length: Int
    }

    /// The fragments of a message so far. The validator stays from one to the next: a character may be cut in two.
    private struct Parts {
        var opcode: Opcode
        var bytes: [UInt8] = []
        var text = UTF8Validator()
    }

    init(role: WebSocketRole, limit: Int) {
        self.role = role
        self.limit = limit
    }

    mutating func feed(_ bytes: [UInt8]) {
        if taken > 0 && taken >= inbox.count / 2 {
            inbox.removeFirst(taken)
            taken = 0
        }
        inbox += bytes
    }

    mutating func next() throws -> WebSocketEvent? {
        while !hasClosed {
            if header == nil { header = try parseHeader() }
            guard let frame = header, inbox.count - taken >= frame.length else { return nil }
            header = nil
            var payload = Array(inbox[taken..<(taken + frame.length)])
            taken += frame.length
            if let mask = frame.mask { payload.withUnsafeMutableBytes { applyMask(mask, to: $0[...]) } }

            switch frame.opcode {
            case .ping: return .ping(payload)
            case .pong: return .pong(payload)
            case .close:
                hasClosed = true
                return try closing(payload)
            case .text, .binary, .continuation:
                if let event = try add(payload, frame) { return event }
            }
        }
        return nil
    }

    private mutating func add(_ payload: [UInt8], _ frame: Header) throws -> WebSocketEvent? {
        guard var message = parts else { return nil }
        // Taken out while it is changed: else it would be copied.
        parts = nil
        message.bytes += payload
        if message.opcode == .text {
            let isText = payload.withUnsafeBytes { message.text.accepts($0) }
            guard isText, !frame.isFinal || message.text.isBetweenCharacters else { throw WebSocketError.invalidText }
        }
        if frame.isFinal { return message.opcode == .text ? .text(message.bytes) : .binary(message.bytes) }
        parts = message
        return nil
    }

    /// Nil until it is complete.
    private mutating func parseHeader() throws -> Header? {
        let rest = inbox[taken...]
        guard let first = rest.first else { return nil }
        let (isFinal, reserved, number) = (first & 0x80 != 0, first & 0x70, first & 0x0F)
        guard reserved == 0 else { throw WebSocketError.protocolError("a reserved bit") }
        guard let opcode = Opcode(rawValue: number) else { throw WebSocketError.protocolError("no such opcode") }
        let isControl = [.close, .ping, .pong].contains(opcode)
        guard isFinal || !isControl else { throw WebSocketError.protocolError("a control frame in fragments") }
        guard isControl || (opcode == .continuation) == (parts != nil) else {
            throw WebSocketError.protocolError("out of order")
        }

        guard rest.count >= 2 else { return nil }
        let second = rest[taken + 1]
        guard (second & 0x80 != 0) == (role == .server) else { throw WebSocketError.protocolError("the mask") }
        var size = 2
        var length = UInt64(second & 0x7F)
        if isControl && length > 125 { throw WebSocketError.protocolError("a long control frame") }
        if length >= 126 {
            let width = length == 126 ? 2 : 8
            size += width
            guard rest.count >= size else { return nil }
            length = rest[(taken + 2)..<(taken + size)].reduce(0) { $0 << 8 + UInt64($1) }
            guard length >= (width == 2 ? 126 : 65_536), length < 1 << 63 else {
                throw WebSocketError.protocolError("a length in a wrong form")
            }
        }
        if !isControl && length > UInt64(max(0, limit - (parts?.bytes.count ?? 0))) {
            throw WebSocketError.tooLong(limit: limit)
        }

        var mask: [UInt8]?
        if role == .server {
            guard rest.count >= size + 4 else { return nil }
            mask = Array(rest[(taken + size)..<(taken + size + 4)])
            size += 4
        }
        taken += size
        if opcode == .text || opcode == .binary { parts = Parts(opcode: opcode) }
        return Header(opcode: opcode, isFinal: isFinal, mask: mask, length: Int(length))
    }

    private func closing(_ payload: [UInt8]) throws -> WebSocketEvent {
        switch payload.count {
        case 0: return .close(code: nil, reason: "")
        case 1: throw WebSocketError.protocolError("one byte of a code")
        default: break
        }
        let code = UInt16(payload[0]) << 8 | UInt16(payload[1])
        switch code {
        case 1000, 1001, 1002, 1003, 1007...1014, 3000...4999: break
        default: throw WebSocketError.protocolError("a bad code")
        }
        guard let reason = String(validating: payload[2...], as: UTF8.self) else { throw WebSocketError.invalidText }
        return .close(code: code, reason: reason)
    }
}
