// JSON that remembers where everything stands, so that a finding can name a line, and an edit can leave the rest of
// the file as it is. Values are what the lab's files hold: objects, arrays, strings, and the rest as it is written
// (RFC 8259).

struct LocatedJSON {
    enum Content {
        case object([Member])
        case array([LocatedJSON])
        case string(String)
        /// A number, `true`, `false` or `null`.
        case other(String)
    }

    struct Member {
        var key: String
        var line: Int
        var value: LocatedJSON
    }

    var content: Content
    /// Of its first character; lines count from 1.
    var line: Int
    /// Byte offsets, brackets and quotes included.
    var range: Range<Int>

    struct SyntaxError: Error, CustomStringConvertible {
        var line: Int
        var description: String
    }

    static func parse(_ text: String) throws(SyntaxError) -> LocatedJSON {
        var parser = Parser(bytes: Array(text.utf8))
        let value = try parser.value()
        parser.skipSpace()
        guard parser.position == parser.bytes.count else { throw parser.error("more text after the end") }
        return value
    }

    subscript(_ key: String) -> LocatedJSON? { members.first { $0.key == key }?.value }

    var members: [Member] {
        if case .object(let members) = content { return members }
        return []
    }

    var elements: [LocatedJSON] {
        if case .array(let elements) = content { return elements }
        return []
    }

    var string: String? {
        if case .string(let text) = content { return text }
        return nil
    }

    var isObject: Bool {
        if case .object = content { return true }
        return false
    }

    /// This value and all inside it.
    func visit(_ body: (LocatedJSON) -> Void) {
        body(self)
        for member in members { member.value.visit(body) }
        for element in elements { element.visit(body) }
    }
}

private struct Parser {
    let bytes: [UInt8]
    var position = 0
    var line = 1

    mutating func value() throws(LocatedJSON.SyntaxError) -> LocatedJSON {
        skipSpace()
        let (start, first) = (position, line)
        let content: LocatedJSON.Content
        switch peek {
        case UInt8(ascii: "{"): content = .object(try members())
        case UInt8(ascii: "["): content = .array(try elements())
        case UInt8(ascii: "\""): content = .string(try text())
        default:
            while let byte = peek, isWordByte(byte) { position += 1 }
            let word = String(decoding: bytes[start..<position], as: UTF8.self)
            guard ["true", "false", "null"].contains(word) || Double(word) != nil else {
                throw error("a value is missing")
            }
            content = .other(word)
        }
        return LocatedJSON(content: content, line: first, range: start..<position)
    }

    private mutating func members() throws(LocatedJSON.SyntaxError) -> [LocatedJSON.Member] {
        var found: [LocatedJSON.Member] = []
        position += 1
        skipSpace()
        if take("}") { return found }
        repeat {
            skipSpace()
            let line = line
            guard peek == UInt8(ascii: "\"") else { throw error("a name in quotes is missing") }
            let key = try text()
            skipSpace()
            guard take(":") else { throw error("\":\" is missing after \"\(key)\"") }
            found.append(.init(key: key, line: line, value: try value()))
            skipSpace()
        } while take(",")
        guard take("}") else { throw error("\",\" or \"}\" is missing") }
        return found
    }

    private mutating func elements() throws(LocatedJSON.SyntaxError) -> [LocatedJSON] {
        var found: [LocatedJSON] = []
        position += 1
        skipSpace()
        if take("]") { return found }
        repeat {
            found.append(try value())
            skipSpace()
        } while take(",")
        guard take("]") else { throw error("\",\" or \"]\" is missing") }
        return found
    }

    private mutating func text() throws(LocatedJSON.SyntaxError) -> String {
        position += 1
        var units: [UInt8] = []
        while let byte = peek {
            position += 1
            switch byte {
            case UInt8(ascii: "\""): return String(decoding: units, as: UTF8.self)
            case UInt8(ascii: "\\"): units += try escape()
            case UInt8(ascii: "\n"): throw error("a line ends inside quotes")
            default: units.append(byte)
            }
        }
        throw error("a closing quote is missing")
    }

    private mutating func escape() throws(LocatedJSON.SyntaxError) -> [UInt8] {
        guard let byte = peek else { throw error("a closing quote is missing") }
        position += 1
        switch byte {
        case UInt8(ascii: "n"): return [0x0a]
        case UInt8(ascii: "t"): return [0x09]
        case UInt8(ascii: "r"): return [0x0d]
        case UInt8(ascii: "b"): return [0x08]
        case UInt8(ascii: "f"): return [0x0c]
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return [byte]
        case UInt8(ascii: "u"):
            var units = [try hexUnit()]
            // A pair of surrogates is one character.
            if (0xd800..<0xdc00).contains(units[0]), take("\\"), take("u") { units.append(try hexUnit()) }
            return Array(String(decoding: units, as: UTF16.self).utf8)
        default: throw error("\"\\\(String(UnicodeScalar(byte)))\" is not an escape")
        }
    }

    private mutating func hexUnit() throws(LocatedJSON.SyntaxError) -> UInt16 {
        let digits = String(decoding: bytes[position...].prefix(4), as: UTF8.self)
        guard digits.count == 4, let unit = UInt16(digits, radix: 16) else { throw error("\\u needs four hex digits") }
        position += 4
        return unit
    }

    private var peek: UInt8? { position < bytes.count ? bytes[position] : nil }

    mutating func skipSpace() {
        while let byte = peek, [0x20, 0x09, 0x0a, 0x0d].contains(byte) {
            if byte == 0x0a { line += 1 }
            position += 1
        }
    }

    private mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard peek == UInt8(ascii: character) else { return false }
        position += 1
        return true
    }

    private func isWordByte(_ byte: UInt8) -> Bool {
        byte.isLetterOrDigit || [UInt8(ascii: "-"), UInt8(ascii: "+"), UInt8(ascii: ".")].contains(byte)
    }

    func error(_ description: String) -> LocatedJSON.SyntaxError { .init(line: line, description: description) }
}

extension UInt8 {
    var isLetterOrDigit: Bool {
        (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(self) || (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(self)
            || (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(self)
    }
}
