import Course

struct UTF8Check {
    var left = 0
    var low: UInt8 = 0x80
    var high: UInt8 = 0xBF

    mutating func take(_ b: UInt8) -> Bool {
        if left > 0 {
            guard b >= low, b <= high else { return false }
            (low, high) = (0x80, 0xBF)
            left -= 1
            return true
        }
        if b < 0x80 { return true }
        switch b {
        case 0xC2...0xDF: left = 1
        case 0xE0: (left, low) = (2, 0xA0)
        case 0xED: (left, high) = (2, 0x9F)
        case 0xE1...0xEF: left = 2
        case 0xF0: (left, low) = (3, 0x90)
        case 0xF4: (left, high) = (3, 0x8F)
        case 0xF1...0xF3: left = 3
        default: return false
        }
        return true
    }
}

struct FrameDecoder: WebSocketDecoder {
    let role: WebSocketRole
    let limit: Int

    private var input: [UInt8] = []
    private var at = 0
    private enum Place { case head, body, done }
    private var place = Place.head

    private var opcode = Opcode.text
    private var isFinal = true
    private var left = 0
    private var mask: (UInt8, UInt8, UInt8, UInt8) = (0, 0, 0, 0)
    private var key: [UInt8] = [0, 0, 0, 0]
    private var turn = 0

    private var control: [UInt8] = []
    private var message: [UInt8] = []
    private var kind: Opcode?
    private var check = UTF8Check()

    init(role: WebSocketRole, limit: Int) {
        self.role = role
        self.limit = limit
    }

    mutating func feed(_ bytes: [UInt8]) {
        if place == .done { return }
        if at > 0 {
            input.removeFirst(at)
            at = 0
        }
        input += bytes
    }

    mutating func next() throws -> WebSocketEvent? {
        while true {
            switch place {
            case .done: return nil
            case .head:
                if !(try head()) { return nil }
                place = .body
            case .body:
                try body()
                if left > 0 { return nil }
                place = .head
                if let event = try end() { return event }
            }
        }
    }

    private mutating func head() throws -> Bool {
        let have = input.count - at
        func bad(_ why: String) -> WebSocketError { .protocolError(why) }
        guard have >= 1 else { return false }
        let b0 = input[at]
        guard b0 & 0x70 == 0 else { throw bad("reserved bit") }
        guard let opcode = Opcode(rawValue: b0 & 15) else { throw bad("opcode") }
        let final = b0 & 0x80 != 0
        if opcode.isControl && !final { throw bad("control frame in fragments") }
        if opcode == .continuation && kind == nil { throw bad("continuation of nothing") }
        if (opcode == .text || opcode == .binary) && kind != nil { throw bad("message in message") }
        guard have >= 2 else { return false }
        let b1 = input[at + 1]
        let masked = b1 & 0x80 != 0
        guard masked == (role == .server) else { throw bad("mask") }
        let short = Int(b1 & 127)
        if opcode.isControl && short > 125 { throw bad("long control frame") }
        let more = short == 126 ? 2 : short == 127 ? 8 : 0
        guard have >= 2 + more else { return false }
        var length: UInt64 = UInt64(short)
        if more > 0 {
            length = 0
            for k in 0..<more { length = length << 8 | UInt64(input[at + 2 + k]) }
            if length >> 63 != 0 { throw bad("highest bit") }
            if length < 126 || (more == 8 && length < 65_536) { throw bad("longer form") }
        }
        if !opcode.isControl && length > UInt64(limit - message.count) { throw WebSocketError.tooLong(limit: limit) }
        let size = 2 + more + (masked ? 4 : 0)
        guard have >= size else { return false }
        key = masked ? Array(input[(at + size - 4)..<(at + size)]) : [0, 0, 0, 0]
        self.opcode = opcode
        isFinal = final
        left = Int(length)
        turn = 0
        control = []
        if opcode == .text || opcode == .binary {
            kind = opcode
            message = []
            check = UTF8Check()
        }
        at += size
        return true
    }

    private mutating func body() throws {
        let count = min(left, input.count - at)
        if count == 0 { return }
        let (from, key, start) = (at, key, turn)
        let piece = [UInt8](unsafeUninitializedCapacity: count) { out, size in
            input.withUnsafeBufferPointer { bytes in
                var i = 0
                while i < count {
                    out[i] = bytes[from + i] ^ key[(start + i) & 3]
                    i += 1
                }
            }
            size = count
        }
        at += count
        left -= count
        turn += count
        if opcode.isControl {
            control += piece
        } else {
            if kind == .text {
                var check = check
                let fine = piece.withUnsafeBufferPointer { bytes in
                    var i = 0
                    while i < bytes.count {
                        if bytes[i] < 0x80 && check.left == 0 || check.take(bytes[i]) { i += 1 } else { return false }
                    }
                    return true
                }
                guard fine else { throw WebSocketError.invalidText }
                self.check = check
            }
            message += piece
        }
    }

    private mutating func end() throws -> WebSocketEvent? {
        switch opcode {
        case .ping: return .ping(control)
        case .pong: return .pong(control)
        case .close:
            place = .done
            if control.isEmpty { return .close(code: nil, reason: "") }
            guard control.count > 1 else { throw WebSocketError.protocolError("one byte") }
            let code = UInt16(control[0]) << 8 | UInt16(control[1])
            switch code {
            case 1000...1003, 1007...1014, 3000...4999: break
            default: throw WebSocketError.protocolError("code")
            }
            guard let reason = String(validating: control[2...], as: UTF8.self) else {
                throw WebSocketError.invalidText
            }
            return .close(code: code, reason: reason)
        default:
            guard isFinal else { return nil }
            if kind == .text && check.left > 0 { throw WebSocketError.invalidText }
            let whole = message
            let text = kind == .text
            kind = nil
            message = []
            return text ? .text(whole) : .binary(whole)
        }
    }
}
