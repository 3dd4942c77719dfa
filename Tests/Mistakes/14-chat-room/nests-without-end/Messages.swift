// My own JSON, no Foundation: a cursor over bytes and a tree.
import Course

indirect enum Tree {
    case null, bool(Bool), number(String), text(String), list([Tree]), object([(name: String, value: Tree)])
}

func quoted(_ text: String, into out: inout [UInt8]) {
    out.append(0x22)
    for byte in text.utf8 {
        switch byte {
        case 0x22, 0x5C: out += [0x5C, byte]
        case 0..<0x20:
            out += Array("\\u00".utf8)
            out.append(byte < 16 ? 0x30 : 0x31)
            out.append(Array("0123456789abcdef".utf8)[Int(byte & 15)])
        default: out.append(byte)
        }
    }
    out.append(0x22)
}

func encodeMessage(_ message: ChatMessage) -> [UInt8] {
    var fields: [(String, Tree)] = []
    func add(_ name: String, _ value: Tree) { fields.append((name, value)) }
    switch message {
    case .login(let username):
        add("type", .text("login"))
        add("username", .text(username))
    case .chat(let content):
        add("type", .text("chat"))
        add("content", .text(content))
    case .logout: add("type", .text("logout"))
    case .loginResponse(let refusal):
        add("type", .text("login_response"))
        add("success", .bool(refusal == nil))
        if let refusal { add("code", .text(refusal.rawValue)) }
    case .chatMessage(let line):
        add("type", .text("chat_message"))
        add("id", .number(String(line.id)))
        add("username", .text(line.username))
        add("content", .text(line.content))
        add("timestamp", .number(String(line.timestamp)))
    case .userJoined(let username):
        add("type", .text("user_joined"))
        add("username", .text(username))
    case .userLeft(let username):
        add("type", .text("user_left"))
        add("username", .text(username))
    case .logoutResponse:
        add("type", .text("logout_response"))
        add("success", .bool(true))
    case .error(let problem):
        add("type", .text("error"))
        add("code", .text(problem.rawValue))
    }
    var out: [UInt8] = [0x7B]
    for (index, field) in fields.enumerated() {
        if index > 0 { out.append(0x2C) }
        quoted(field.0, into: &out)
        out.append(0x3A)
        switch field.1 {
        case .text(let text): quoted(text, into: &out)
        case .number(let text): out += Array(text.utf8)
        case .bool(let flag): out += Array((flag ? "true" : "false").utf8)
        default: break
        }
    }
    out.append(0x7D)
    return out
}

struct Cursor {
    let bytes: [UInt8]
    var at = 0
    var depth = 0

    func bad(_ why: String) -> MessageError { .badMessage("\(why) at byte \(at)") }
    var peek: UInt8? { at < bytes.count ? bytes[at] : nil }

    mutating func blanks() { while let b = peek, b == 0x20 || b == 0x0A || b == 0x0D || b == 0x09 { at += 1 } }

    mutating func expect(_ word: StaticString) throws {
        for index in 0..<word.utf8CodeUnitCount {
            guard peek == word.utf8Start[index] else { throw bad("expected \(word)") }
            at += 1
        }
    }

    mutating func value() throws -> Tree {
        blanks()
        guard let first = peek else { throw bad("the end") }
        switch first {
        case 0x7B:
            depth += 1
            defer { depth -= 1 }
            at += 1
            var fields: [(name: String, value: Tree)] = []
            blanks()
            if peek == 0x7D { at += 1; return .object(fields) }
            while true {
                blanks()
                let name = try text()
                blanks()
                try expect(":")
                fields.append((name, try value()))
                blanks()
                if peek == 0x7D { at += 1; return .object(fields) }
                try expect(",")
            }
        case 0x5B:
            depth += 1
            defer { depth -= 1 }
            at += 1
            var items: [Tree] = []
            blanks()
            if peek == 0x5D { at += 1; return .list(items) }
            while true {
                items.append(try value())
                blanks()
                if peek == 0x5D { at += 1; return .list(items) }
                try expect(",")
            }
        case 0x22: return .text(try text())
        case 0x74: try expect("true"); return .bool(true)
        case 0x66: try expect("false"); return .bool(false)
        case 0x6E: try expect("null"); return .null
        default: return .number(try number())
        }
    }

    mutating func digits() throws {
        let start = at
        while let b = peek, (0x30...0x39).contains(b) { at += 1 }
        if at == start { throw bad("expected a digit") }
    }

    mutating func number() throws -> String {
        let start = at
        if peek == 0x2D { at += 1 }
        if peek == 0x30 { at += 1 } else { try digits() }
        if peek == 0x2E { at += 1; try digits() }
        if peek == 0x65 || peek == 0x45 {
            at += 1
            if peek == 0x2B || peek == 0x2D { at += 1 }
            try digits()
        }
        return String(decoding: bytes[start..<at], as: UTF8.self)
    }

    mutating func hex4() throws -> UInt16 {
        guard at + 4 <= bytes.count else { throw bad("short escape") }
        var unit: UInt16 = 0
        for _ in 0..<4 {
            guard let digit = Character(UnicodeScalar(bytes[at])).hexDigitValue, bytes[at] < 0x80 else {
                throw bad("no hex digit")
            }
            unit = unit << 4 | UInt16(digit)
            at += 1
        }
        return unit
    }

    mutating func text() throws -> String {
        try expect("\"")
        var out: [UInt8] = []
        while true {
            guard let b = peek else { throw bad("text without end") }
            at += 1
            switch b {
            case 0x22:
                guard let text = String(validating: out, as: UTF8.self) else { throw bad("not UTF-8") }
                return text
            case 0..<0x20: throw bad("control character")
            case 0x5C:
                guard let e = peek else { throw bad("text without end") }
                at += 1
                switch e {
                case 0x22, 0x5C, 0x2F: out.append(e)
                case 0x62: out.append(8)
                case 0x66: out.append(12)
                case 0x6E: out.append(10)
                case 0x72: out.append(13)
                case 0x74: out.append(9)
                case 0x75:
                    var units = [try hex4()]
                    if (0xD800..<0xDC00).contains(units[0]) {
                        try expect("\\u")
                        units.append(try hex4())
                    }
                    guard let piece = String(validating: units, as: UTF16.self) else { throw bad("half a pair") }
                    out += Array(piece.utf8)
                default: throw bad("bad escape")
                }
            default: out.append(b)
            }
        }
    }
}

func decodeMessage(_ bytes: [UInt8]) throws -> ChatMessage {
    guard String(validating: bytes, as: UTF8.self) != nil else { throw MessageError.badMessage("not UTF-8") }
    var cursor = Cursor(bytes: bytes)
    let tree = try cursor.value()
    cursor.blanks()
    guard cursor.peek == nil else { throw cursor.bad("something behind") }
    guard case .object(let fields) = tree else { throw MessageError.badMessage("no object") }
    func field(_ name: String) -> Tree? { fields.last { Array($0.name.utf8) == Array(name.utf8) }?.value }
    func text(_ name: String) throws -> String {
        guard case .text(let text)? = field(name) else { throw MessageError.badMessage("\(name)?") }
        return text
    }
    func flag(_ name: String) throws -> Bool {
        guard case .bool(let flag)? = field(name) else { throw MessageError.badMessage("\(name)?") }
        return flag
    }
    func double(_ name: String) throws -> Double {
        guard case .number(let digits)? = field(name), let number = Double(digits), number.isFinite else {
            throw MessageError.badMessage("\(name)?")
        }
        return number
    }
    func code() throws -> ChatProblem {
        guard let problem = ChatProblem(rawValue: try text("code")) else { throw MessageError.badMessage("code?") }
        return problem
    }
    switch try text("type") {
    case "login": return .login(username: try text("username"))
    case "chat": return .chat(content: try text("content"))
    case "logout": return .logout
    case "login_response": return .loginResponse(refusal: try flag("success") ? nil : try code())
    case "chat_message":
        guard let id = Int(exactly: try double("id")), id > 0 else { throw MessageError.badMessage("id?") }
        return .chatMessage(
            ChatLine(
                id: id, username: try text("username"), content: try text("content"), timestamp: try double("timestamp")
            ))
    case "user_joined": return .userJoined(username: try text("username"))
    case "user_left": return .userLeft(username: try text("username"))
    case "logout_response":
        guard try flag("success") else { throw MessageError.badMessage("success?") }
        return .logoutResponse
    case "error": return .error(try code())
    case let other: throw MessageError.unknownType(other)
    }
}
