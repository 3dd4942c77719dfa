import Course

struct FrameDecoder: WebSocketDecoder {
    let role: WebSocketRole
    let limit: Int
    private var input = Input()
    private var header: Header?
    private var message = Message()
    private var control = Message()
    private var isOver = false

    init(role: WebSocketRole, limit: Int) {
        self.role = role
        self.limit = limit
    }

    mutating func feed(_ bytes: [UInt8]) { input.add(bytes) }

    mutating func next() throws -> WebSocketEvent? {
        while !isOver {
            if header == nil {
                header = try Header(&input, role: role, limit: limit, message)
                if let begun = header, begun.opcode == .text || begun.opcode == .binary {
                    message.opcode = begun.opcode
                }
                if header?.opcode.isControl == true { control = Message(opcode: header?.opcode) }
            }
            guard let frame = header else { return nil }
            let piece = input.take(atMost: frame.left)
            header?.left -= piece.count
            if frame.opcode.isControl {
                control.append(piece, frame.mask)
            } else {
                let from = message.bytes.count
                message.append(piece, frame.mask)
                if message.opcode == .text {
                    let isText = message.bytes.withUnsafeBytes { bytes in
                        message.validator.accepts(UnsafeRawBufferPointer(rebasing: bytes[from...]))
                    }
                    guard isText else { throw WebSocketError.invalidText }
                }
            }
            guard header?.left == 0 else { return nil }
            header = nil
            if frame.opcode.isControl { return try controlEvent() }
            guard frame.isFinal else { continue }
            defer { message = Message() }
            if message.opcode == .binary { return .binary(message.bytes) }
            guard message.validator.isBetweenCharacters else { throw WebSocketError.invalidText }
            return .text(message.bytes)
        }
        return nil
    }

    private mutating func controlEvent() throws -> WebSocketEvent {
        let bytes = control.bytes
        if control.opcode == .ping { return .ping(bytes) }
        if control.opcode == .pong { return .pong(bytes) }
        isOver = true
        guard bytes.count > 0 else { return .close(code: nil, reason: "") }
        guard bytes.count > 1 else { throw WebSocketError.protocolError("a close code has two bytes") }
        let code = UInt16(bytes[0]) << 8 + UInt16(bytes[1])
        switch code {
        case 1000, 1001, 1002, 1003, 1007...1014, 3000...4999: break
        default: throw WebSocketError.protocolError("\(code) is no close code")
        }
        guard let reason = String(validating: bytes.dropFirst(2), as: UTF8.self) else {
            throw WebSocketError.invalidText
        }
        return .close(code: code, reason: reason)
    }
}

/// What has come and is not used.
private struct Input {
    private var bytes: [UInt8] = []
    private var used = 0

    var count: Int { bytes.count - used }
    subscript(_ index: Int) -> UInt8 { bytes[used + index] }

    mutating func add(_ more: [UInt8]) {
        if used > 0 { bytes.removeSubrange(..<used) }
        used = 0
        bytes += more
    }

    mutating func take(atMost most: Int) -> ArraySlice<UInt8> {
        let piece = bytes[used...].prefix(most)
        used = piece.endIndex
        return piece
    }
}

private struct Header {
    let isFinal: Bool
    let opcode: Opcode
    var mask: [UInt8] = []
    var left: Int

    /// Nil: not all of it is here.
    init?(_ input: inout Input, role: WebSocketRole, limit: Int, _ message: Message) throws {
        guard input.count > 0 else { return nil }
        let first = input[0]
        isFinal = first & 0x80 == 0x80
        guard first & 0x70 == 0, let opcode = Opcode(rawValue: first & 0xF) else {
            throw WebSocketError.protocolError("the first byte is \(first)")
        }
        self.opcode = opcode
        let isWrong =
            opcode.isControl ? !isFinal : opcode == .continuation ? message.opcode == nil : message.opcode != nil
        if isWrong { throw WebSocketError.protocolError("this frame cannot come here") }

        guard input.count > 1 else { return nil }
        guard (input[1] & 0x80 != 0) == (role == .server) else { throw WebSocketError.protocolError("mask") }
        let seven = input[1] & 0x7F
        if opcode.isControl && seven > 125 { throw WebSocketError.protocolError("a control frame is short") }
        let extra = seven == 127 ? 8 : seven == 126 ? 2 : 0
        guard input.count >= 2 + extra else { return nil }
        var length = UInt64(seven)
        if extra > 0 {
            length = (2..<(2 + extra)).reduce(0) { $0 << 8 | UInt64(input[$1]) }
            if length < (extra == 2 ? 126 : 65_536) || length >> 63 == 1 {
                throw WebSocketError.protocolError("the length is in the wrong form")
            }
        }
        if !opcode.isControl && length > UInt64(limit - message.bytes.count) {
            throw WebSocketError.tooLong(limit: limit)
        }
        let size = 2 + extra + (role == .server ? 4 : 0)
        guard input.count >= size else { return nil }
        if role == .server { mask = (size - 4..<size).map { input[$0] } }
        left = Int(length)
        _ = input.take(atMost: size)
    }
}

private struct Message {
    var opcode: Opcode?
    var bytes: [UInt8] = []
    var validator = UTF8Validator()

    /// The mask goes on where the last piece has stopped.
    mutating func append(_ piece: ArraySlice<UInt8>, _ mask: [UInt8]) {
        let old = bytes.count
        bytes += piece
        guard mask.count == 4 else { return }
        let turned = (0..<4).map { mask[(old + $0) % 4] }
        bytes.withUnsafeMutableBytes { applyMask(turned, to: $0[old...]) }
    }
}
