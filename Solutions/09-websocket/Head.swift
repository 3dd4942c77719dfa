import Course

/// The lines of a request or an answer, before the empty one (RFC 9112). Strict: what is not exactly right is refused,
/// since another program on the way might read it differently.
struct Head {
    let startLine: String
    private var fields: [(name: String, value: String)] = []

    /// - Returns: the head's length with its empty line; nil if that has not come. Nobody needs more than `headLimit`
    ///   bytes for it, so nobody is heard for longer.
    static func length(in received: [UInt8]) throws(HeadTooLong) -> Int? {
        let length = received.withUnsafeBufferPointer { bytes in
            for index in 3..<max(3, min(bytes.count, Lesson09.headLimit))
            where bytes[index] == lineFeed && bytes[index - 2] == lineFeed
                && bytes[index - 1] == carriageReturn && bytes[index - 3] == carriageReturn
            { return index + 1 }
            return 0
        }
        if length > 0 { return length }
        if received.count >= Lesson09.headLimit { throw HeadTooLong() }
        return nil
    }

    /// - Parameter bytes: a whole head, with its empty line.
    /// - Returns: nil if it is none.
    init?(_ bytes: ArraySlice<UInt8>) {
        var lines: [String] = []
        var rest = bytes.dropLast(2)
        while let end = rest.firstIndex(of: carriageReturn) {
            // A lone CR or LF is neither the end of a line nor a part of one; nor is a zero byte.
            guard end + 1 < rest.endIndex, rest[end + 1] == lineFeed else { return nil }
            let line = rest[..<end]
            guard !line.contains(where: { $0 < 0x20 && $0 != tab || $0 == 0x7F }) else { return nil }
            lines.append(String(decoding: line, as: UTF8.self))
            rest = rest[(end + 2)...]
        }
        guard rest.isEmpty, !lines.isEmpty else { return nil }
        startLine = lines.removeFirst()
        for line in lines {
            guard let colon = line.firstIndex(of: ":") else { return nil }
            let name = line[..<colon]
            // Not even a blank: "Host : x" and a line that begins with a blank are known tricks.
            guard !name.isEmpty, name.utf8.allSatisfy(isTokenByte) else { return nil }
            fields.append((name.lowercased(), trimmed(line[line.index(after: colon)...])))
        }
    }

    /// All values of a field, in their order. Names have no case.
    func values(_ name: String) -> [String] { fields.filter { $0.name == name }.map(\.value) }

    /// The members of a field that is a list, perhaps over several lines, in lower case.
    func list(_ name: String) -> [String] {
        values(name).flatMap { $0.split(separator: ",") }.map { trimmed($0).lowercased() }
    }
}

struct HeadTooLong: Error {}

private let lineFeed = UInt8(ascii: "\n")
private let carriageReturn = UInt8(ascii: "\r")
private let tab = UInt8(ascii: "\t")

/// RFC 9110, section 5.6.2.
private func isTokenByte(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"):
        true
    default: "!#$%&'*+-.^_`|~".utf8.contains(byte)
    }
}

private func trimmed(_ text: some StringProtocol) -> String {
    let isBlank = { (character: Character) in character == " " || character == "\t" }
    guard let first = text.firstIndex(where: { !isBlank($0) }), let last = text.lastIndex(where: { !isBlank($0) })
    else { return "" }
    return String(text[first...last])
}
