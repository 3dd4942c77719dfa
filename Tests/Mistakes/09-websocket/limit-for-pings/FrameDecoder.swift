import Course

struct FrameDecoder: WebSocketDecoder {
    let role: WebSocketRole
    let limit: Int

    private var bytes: [UInt8] = []
    private var position = 0
    private var current: Incoming?
    private var assembling: Assembly?
    private var isOver = false

    /// A frame whose header is here.
    private struct Incoming {
        let opcode: Opcode
        let isFinal: Bool
        let length: Int
        let mask: (UInt8, UInt8, UInt8, UInt8)
        var got = 0
        /// Of a control frame; what belongs to a message is collected there.
        var control: [UInt8] = []
    }

    /// A message of which at least the first header is here.
    private struct Assembly {
        let isText: Bool
        var content: [UInt8] = []
        var validator = UTF8Validator()
    }

    init(role: WebSocketRole, limit: Int) {
        self.role = role
        self.limit = limit
    }

    mutating func feed(_ more: [UInt8]) {
        if position == bytes.count {
            bytes.removeAll(keepingCapacity: bytes.count < 100_000)
            position = 0
        } else if position >= 4096 && position * 2 > bytes.count {
            bytes.removeSubrange(0..<position)
            position = 0
        }
        bytes.append(contentsOf: more)
    }

    mutating func next() throws -> WebSocketEvent? {
        while !isOver {
            if current == nil {
                guard let header = try readHeader() else { return nil }
                current = header
                if header.opcode == .text || header.opcode == .binary {
                    assembling = Assembly(isText: header.opcode == .text)
                }
            }
            try readPayload()
            guard let frame = current, frame.got == frame.length else { return nil }
            current = nil
            if frame.opcode.isControl { return try finishControl(frame) }
            guard frame.isFinal, let message = assembling else { continue }
            assembling = nil
            if !message.isText { return .binary(message.content) }
            guard message.validator.isBetweenCharacters else { throw WebSocketError.invalidText }
            return .text(message.content)
        }
        return nil
    }

    private func broken(_ why: String) -> WebSocketError { .protocolError(why) }

    private mutating func readHeader() throws -> Incoming? {
        let available = bytes.count - position
        if available == 0 { return nil }
        let first = bytes[position]
        if first & 0b0111_0000 != 0 { throw broken("reserved bit") }
        guard let opcode = Opcode(rawValue: first & 0b1111) else { throw broken("opcode \(first & 0b1111)") }
        let isFinal = first >= 0b1000_0000
        if opcode.isControl && !isFinal { throw broken("control frame in fragments") }
        if opcode == .continuation && assembling == nil { throw broken("continuation of nothing") }
        if (opcode == .text || opcode == .binary) && assembling != nil { throw broken("message within a message") }

        if available == 1 { return nil }
        let second = bytes[position + 1]
        let isMasked = second >= 0b1000_0000
        if isMasked != (role == .server) { throw broken(isMasked ? "masked" : "not masked") }
        let seven = second & 0b0111_1111
        if opcode.isControl && seven > 125 { throw broken("control frame too long") }

        let extra = seven < 126 ? 0 : seven == 126 ? 2 : 8
        if available < 2 + extra { return nil }
        var long: UInt64 = 0
        for index in 0..<extra { long = long * 256 + UInt64(bytes[position + 2 + index]) }
        if extra == 2 && long < 126 || extra == 8 && long < 65_536 { throw broken("length not in its shortest form") }
        if long > UInt64(Int64.max) { throw broken("length with its highest bit") }
        let length = extra == 0 ? Int(seven) : Int(long)

        // What there is of the message already counts, too.
        let held = assembling?.content.count ?? 0
        if length > limit - held { throw WebSocketError.tooLong(limit: limit) }

        let size = 2 + extra + (isMasked ? 4 : 0)
        if available < size { return nil }
        position += size
        guard isMasked else {
            return Incoming(opcode: opcode, isFinal: isFinal, length: length, mask: (0, 0, 0, 0))
        }
        let mask = (bytes[position - 4], bytes[position - 3], bytes[position - 2], bytes[position - 1])
        return Incoming(opcode: opcode, isFinal: isFinal, length: length, mask: mask)
    }

    private mutating func readPayload() throws {
        guard let frame = current else { return }
        let count = min(frame.length - frame.got, bytes.count - position)
        if count == 0 { return }
        // i counts over the frame, not over what came just now.
        let masks = [frame.mask.0, frame.mask.1, frame.mask.2, frame.mask.3]
        var piece = Array(bytes[position..<(position + count)])
        if role == .server { for offset in 0..<count { piece[offset] ^= masks[(frame.got + offset) & 3] } }
        position += count
        current?.got += count
        if frame.opcode.isControl {
            current?.control += piece
            return
        }
        assembling?.content += piece
        guard assembling?.isText == true, var validator = assembling?.validator else { return }
        let isValid = piece.withUnsafeBytes { validator.accepts($0) }
        assembling?.validator = validator
        if !isValid { throw WebSocketError.invalidText }
    }

    private mutating func finishControl(_ frame: Incoming) throws -> WebSocketEvent {
        switch frame.opcode {
        case .ping: return .ping(frame.control)
        case .pong: return .pong(frame.control)
        default:
            isOver = true
            return try close(frame.control)
        }
    }

    private func close(_ payload: [UInt8]) throws -> WebSocketEvent {
        if payload.isEmpty { return .close(code: nil, reason: "") }
        if payload.count == 1 { throw broken("half a code") }
        let code = UInt16(payload[0]) * 256 + UInt16(payload[1])
        let isAllowed =
            (1000...1003).contains(code) || (1007...1014).contains(code) || (3000...4999).contains(code)
        if !isAllowed { throw broken("code \(code)") }
        let reason = payload.dropFirst(2)
        var validator = UTF8Validator()
        let isText = reason.withUnsafeBytes { validator.accepts($0) }
        if !isText || !validator.isBetweenCharacters { throw WebSocketError.invalidText }
        return .close(code: code, reason: String(decoding: reason, as: UTF8.self))
    }
}
