import Course

// JSON by hand (RFC 8259): small, strict, and never deeper than 100.

private enum JSON {
    case null
    case bool(Bool)
    case number(String)
    case string(String)
    case array
    case object([String: JSON])
}

private struct JSONParser {
    private let bytes: [UInt8]
    private var place = 0
    private struct Wrong: Error {}

    static func parse(_ bytes: [UInt8]) -> JSON? {
        var parser = JSONParser(bytes: bytes)
        guard let value = try? parser.value(0) else { return nil }
        parser.skipSpace()
        return parser.place == bytes.count ? value : nil
    }

    private init(bytes: [UInt8]) { self.bytes = bytes }

    private var current: UInt8? { place < bytes.count ? bytes[place] : nil }

    private mutating func skipSpace() {
        while let byte = current, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { place += 1 }
    }

    private mutating func take(_ byte: UInt8) -> Bool {
        guard current == byte else { return false }
        place += 1
        return true
    }

    private mutating func word(_ text: StaticString, _ value: JSON) throws -> JSON {
        for byte in UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount) {
            guard take(byte) else { throw Wrong() }
        }
        return value
    }

    private mutating func value(_ depth: Int) throws -> JSON {
        guard depth < 100 else { throw Wrong() }
        skipSpace()
        switch current {
        case UInt8(ascii: "{"): return .object(try object(depth))
        case UInt8(ascii: "["):
            place += 1
            skipSpace()
            if take(UInt8(ascii: "]")) { return .array }
            repeat {
                _ = try value(depth + 1)
                skipSpace()
            } while take(UInt8(ascii: ","))
            guard take(UInt8(ascii: "]")) else { throw Wrong() }
            return .array
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try word("true", .bool(true))
        case UInt8(ascii: "f"): return try word("false", .bool(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        default: return .number(try number())
        }
    }

    private mutating func object(_ depth: Int) throws -> [String: JSON] {
        place += 1
        var fields: [String: JSON] = [:]
        skipSpace()
        if take(UInt8(ascii: "}")) { return fields }
        repeat {
            skipSpace()
            let name = try string()
            skipSpace()
            guard take(UInt8(ascii: ":")) else { throw Wrong() }
            fields[name] = try value(depth + 1)
            skipSpace()
        } while take(UInt8(ascii: ","))
        guard take(UInt8(ascii: "}")) else { throw Wrong() }
        return fields
    }

    private mutating func digits() throws {
        let start = place
        while let byte = current, (0x30...0x39).contains(byte) { place += 1 }
        guard place > start else { throw Wrong() }
    }

    private mutating func number() throws -> String {
        let start = place
        _ = take(UInt8(ascii: "-"))
        if !take(UInt8(ascii: "0")) { try digits() }
        if take(UInt8(ascii: ".")) { try digits() }
        if take(UInt8(ascii: "e")) || take(UInt8(ascii: "E")) {
            if !take(UInt8(ascii: "+")) { _ = take(UInt8(ascii: "-")) }
            try digits()
        }
        return String(decoding: bytes[start..<place], as: UTF8.self)
    }

    private mutating func unit() throws -> UInt16 {
        guard place + 4 <= bytes.count else { throw Wrong() }
        var unit: UInt16 = 0
        for byte in bytes[place..<(place + 4)] {
            guard let digit = Character(UnicodeScalar(byte)).hexDigitValue else { throw Wrong() }
            unit = unit << 4 | UInt16(digit)
        }
        place += 4
        return unit
    }

    private mutating func string() throws -> String {
        guard take(UInt8(ascii: "\"")) else { throw Wrong() }
        var text: [UInt8] = []
        while let byte = current {
            place += 1
            switch byte {
            case UInt8(ascii: "\""): return String(decoding: text, as: UTF8.self)
            case ..<0x20: throw Wrong()
            case UInt8(ascii: "\\"):
                guard let escape = current else { throw Wrong() }
                place += 1
                switch escape {
                case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(escape)
                case UInt8(ascii: "b"): text.append(8)
                case UInt8(ascii: "f"): text.append(12)
                case UInt8(ascii: "n"): text.append(10)
                case UInt8(ascii: "r"): text.append(13)
                case UInt8(ascii: "t"): text.append(9)
                case UInt8(ascii: "u"):
                    var scalar = UInt32(try unit())
                    if (0xD800...0xDBFF).contains(scalar) {
                        guard take(UInt8(ascii: "\\")), take(UInt8(ascii: "u")) else { throw Wrong() }
                        let low = UInt32(try unit())
                        guard (0xDC00...0xDFFF).contains(low) else { throw Wrong() }
                        scalar = 0x10000 + (scalar - 0xD800) << 10 + (low - 0xDC00)
                    }
                    guard let valid = Unicode.Scalar(scalar) else { throw Wrong() }
                    text.append(contentsOf: String(Character(valid)).utf8)
                default: throw Wrong()
                }
            default: text.append(byte)
            }
        }
        throw Wrong()
    }
}

func decodeMessage(_ bytes: [UInt8]) throws -> ChatMessage {
    guard String(validating: bytes, as: UTF8.self) != nil, case .object(let fields)? = JSONParser.parse(bytes) else {
        throw MessageError.badMessage("no JSON object")
    }
    func bad(_ name: String) -> MessageError { .badMessage(name) }
    func string(_ name: String) throws -> String {
        guard case .string(let text)? = fields[name] else { throw bad(name) }
        return text
    }
    func bool(_ name: String) throws -> Bool {
        guard case .bool(let value)? = fields[name] else { throw bad(name) }
        return value
    }
    func number(_ name: String) throws -> String {
        guard case .number(let text)? = fields[name] else { throw bad(name) }
        return text
    }
    func problem() throws -> ChatProblem {
        guard let problem = ChatProblem(rawValue: try string("code")) else { throw bad("code") }
        return problem
    }
    // It may be there, and then it is a text.
    func checkMessage() throws {
        switch fields["message"] {
        case nil, .null?, .string?: return
        default: throw bad("message")
        }
    }

    let type = try string("type")
    switch type {
    case "login": return .login(username: try string("username"))
    case "chat": return .chat(content: try string("content"))
    case "logout": return .logout
    case "login_response":
        try checkMessage()
        return .loginResponse(refusal: try bool("success") ? nil : try problem())
    case "chat_message":
        let idText = try number("id")
        let timeText = try number("timestamp")
        guard let id = Int(idText) ?? Double(idText).flatMap(Int.init(exactly:)) else { throw bad("id") }
        guard let time = Double(timeText), time.isFinite else { throw bad("timestamp") }
        return .chatMessage(
            ChatLine(id: id, username: try string("username"), content: try string("content"), timestamp: time))
    case "user_joined": return .userJoined(username: try string("username"))
    case "user_left": return .userLeft(username: try string("username"))
    case "logout_response":
        try checkMessage()
        guard try bool("success") else { throw bad("success") }
        return .logoutResponse
    case "error":
        try checkMessage()
        return .error(try problem())
    default: throw MessageError.unknownType(type)
    }
}

private func quoted(_ text: String) -> [UInt8] {
    var bytes = [UInt8(ascii: "\"")]
    for byte in text.utf8 {
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"): bytes += [UInt8(ascii: "\\"), byte]
        case ..<0x20:
            let hex = Array("0123456789abcdef".utf8)
            bytes += Array("\\u00".utf8) + [hex[Int(byte >> 4)], hex[Int(byte & 15)]]
        default: bytes.append(byte)
        }
    }
    return bytes + [UInt8(ascii: "\"")]
}

func encodeMessage(_ message: ChatMessage) -> [UInt8] {
    func object(_ type: String, _ fields: [(String, [UInt8])] = []) -> [UInt8] {
        let all = [("type", quoted(type))] + fields
        let inner = all.map { quoted($0.0) + [UInt8(ascii: ":")] + $0.1 }.joined(separator: [UInt8(ascii: ",")])
        return [UInt8(ascii: "{")] + inner + [UInt8(ascii: "}")]
    }
    func raw(_ value: some CustomStringConvertible) -> [UInt8] { Array(value.description.utf8) }
    switch message {
    case .login(let name): return object("login", [("username", quoted(name))])
    case .chat(let content): return object("chat", [("content", quoted(content))])
    case .logout: return object("logout")
    case .loginResponse(nil): return object("login_response", [("success", raw(true))])
    case .loginResponse(let problem?):
        return object("login_response", [("success", raw(false)), ("code", quoted(problem.rawValue))])
    case .chatMessage(let line):
        return object(
            "chat_message",
            [
                ("id", raw(line.id)), ("username", quoted(line.username)), ("content", quoted(line.content)),
                ("timestamp", raw(line.timestamp)),
            ])
    case .userJoined(let name): return object("user_joined", [("username", quoted(name))])
    case .userLeft(let name): return object("user_left", [("username", quoted(name))])
    case .logoutResponse: return object("logout_response", [("success", raw(true))])
    case .error(let problem): return object("error", [("code", quoted(problem.rawValue))])
    }
}
