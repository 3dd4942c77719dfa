import Course

/// A machine that eats what it is fed at once and keeps the events for those who ask.
struct FrameDecoder: WebSocketDecoder {
    let role: WebSocketRole
    let limit: Int

    private enum Stage {
        case first
        case second
        case length(left: Int)
        case mask
        case payload
        case over
    }

    private var stage = Stage.first
    private var events: [WebSocketEvent] = []
    private var given = 0
    private var failure: WebSocketError?

    // The frame.
    private var opcode = Opcode.continuation
    private var isFinal = false
    private var isMasked = false
    private var length: UInt64 = 0
    private var lengthIsLong = false
    private var key: [UInt8] = []
    private var done = 0

    // The message, the control frame, and where in a character the text is.
    private var kind: Opcode?
    private var message: [UInt8] = []
    private var control: [UInt8] = []
    private var characters = UTF8Validator()

    init(role: WebSocketRole, limit: Int) {
        self.role = role
        self.limit = limit
    }

    mutating func next() throws -> WebSocketEvent? {
        if given < events.count {
            given += 1
            defer { if given == events.count { (events, given) = ([], 0) } }
            return events[given - 1]
        }
        if let failure { throw failure }
        return nil
    }

    mutating func feed(_ bytes: [UInt8]) {
        do { try eat(bytes) } catch {
            failure = error as? WebSocketError
            stage = .over
        }
    }

    private mutating func eat(_ bytes: [UInt8]) throws {
        var index = 0
        while index < bytes.count {
            switch stage {
            case .first:
                try begin(bytes[index])
                stage = .second
                index += 1
            case .second:
                try size(bytes[index])
                index += 1
                if case .payload = stage { try endIfComplete() }
            case .length(let left):
                length = length << 8 | UInt64(bytes[index])
                index += 1
                if left > 1 {
                    stage = .length(left: left - 1)
                } else {
                    try measured(length)
                    if case .payload = stage { try endIfComplete() }
                }
            case .mask:
                key.append(bytes[index])
                index += 1
                if key.count == 4 {
                    stage = .payload
                    try endIfComplete()
                }
            case .payload:
                let count = min(bytes.count - index, Int(length) - done)
                try take(bytes[index..<(index + count)])
                index += count
                try endIfComplete()
            case .over: return
            }
        }
    }

    private mutating func begin(_ byte: UInt8) throws {
        guard byte & 0b0111_0000 == 0 else { throw WebSocketError.protocolError("reserved bits") }
        guard let known = Opcode(rawValue: byte & 15) else { throw WebSocketError.protocolError("no such opcode") }
        (opcode, isFinal, done, length, key) = (known, byte >= 128, 0, 0, [])
        if known.isControl {
            if !isFinal { throw WebSocketError.protocolError("control frames are whole") }
            control = []
        } else if (known == .continuation) == (kind == nil) {
            throw WebSocketError.protocolError("fragments out of order")
        }
        // Something new begins.
        if known != .continuation { characters = UTF8Validator() }
    }

    private mutating func size(_ byte: UInt8) throws {
        isMasked = byte >= 128
        if isMasked != (role == .server) { throw WebSocketError.protocolError("clients mask, servers do not") }
        let short = byte & 127
        if opcode.isControl && short > 125 { throw WebSocketError.protocolError("control frames are short") }
        switch short {
        case 126, 127:
            lengthIsLong = short == 127
            stage = .length(left: lengthIsLong ? 8 : 2)
        default:
            length = UInt64(short)
            try accept()
        }
    }

    private mutating func measured(_ value: UInt64) throws {
        if value >> 63 != 0 { throw WebSocketError.protocolError("63 bits at most") }
        if value < (lengthIsLong ? 65_536 : 126) { throw WebSocketError.protocolError("not the shortest form") }
        try accept()
    }

    private mutating func accept() throws {
        if !opcode.isControl {
            if length > UInt64(limit - message.count) { throw WebSocketError.tooLong(limit: limit) }
            if opcode != .continuation { kind = opcode }
        }
        stage = isMasked ? .mask : .payload
    }

    private mutating func take(_ piece: ArraySlice<UInt8>) throws {
        if opcode.isControl {
            let start = control.count
            control += piece
            if isMasked {
                let turned = (0..<4).map { key[($0 + done) % 4] }
                control.withUnsafeMutableBytes { applyMask(turned, to: $0[start...]) }
            }
            done += piece.count
            return
        }
        let start = message.count
        message += piece
        if isMasked {
            let turned = (0..<4).map { key[($0 + done) % 4] }
            message.withUnsafeMutableBytes { applyMask(turned, to: $0[start...]) }
        }
        done += piece.count
        if kind == .text {
            let isRight = message.withUnsafeBytes { characters.accepts(UnsafeRawBufferPointer(rebasing: $0[start...])) }
            if !isRight { throw WebSocketError.invalidText }
        }
    }

    private mutating func endIfComplete() throws {
        guard UInt64(done) == length else { return }
        stage = .first
        switch opcode {
        case .ping: events.append(.ping(control))
        case .pong: events.append(.pong(control))
        case .close:
            events.append(try farewell())
            stage = .over
        default:
            guard isFinal, let kind else { return }
            if kind == .text && !characters.isBetweenCharacters { throw WebSocketError.invalidText }
            events.append(kind == .text ? .text(message) : .binary(message))
            (self.kind, message) = (nil, [])
        }
    }

    private func farewell() throws -> WebSocketEvent {
        guard !control.isEmpty else { return .close(code: nil, reason: "") }
        guard control.count > 1 else { throw WebSocketError.protocolError("half a code") }
        let code = UInt16(control[0]) * 256 + UInt16(control[1])
        guard [1000...1003, 1007...1014, 3000...4999].contains(where: { $0.contains(code) }) else {
            throw WebSocketError.protocolError("code \(code)")
        }
        var check = UTF8Validator()
        let isRight = control.withUnsafeBytes { check.accepts(UnsafeRawBufferPointer(rebasing: $0[2...])) }
        guard isRight && check.isBetweenCharacters else { throw WebSocketError.invalidText }
        return .close(code: code, reason: String(decoding: control[2...], as: UTF8.self))
    }
}
