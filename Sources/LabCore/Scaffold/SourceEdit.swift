// Inserting into Swift and Markdown files that people edit by hand: the rest of the file stays as it is, to the byte.

/// A text that insertions are made into. Offsets are bytes of the original text.
struct SourceEdit {
    let original: [UInt8]
    private var insertions: [(offset: Int, order: Int, text: String)] = []

    init(_ text: String) { original = Array(text.utf8) }

    mutating func insert(_ text: String, at offset: Int) { insertions.append((offset, insertions.count, text)) }

    /// The text with all insertions made and one range, which none of them is in, replaced.
    func text(replacing range: Range<Int>, by new: String) -> String {
        var result: [UInt8] = []
        var position = 0
        func copy(to end: Int) {
            result += original[position..<end]
            position = end
        }
        let pieces =
            insertions.map { ($0.offset, $0.order, $0.text, $0.offset) } + [
                (range.lowerBound, insertions.count, new, range.upperBound)
            ]
        for (offset, _, text, end) in pieces.sorted(by: { ($0.0, $0.1) < ($1.0, $1.1) }) {
            copy(to: offset)
            result += Array(text.utf8)
            position = end
        }
        copy(to: original.count)
        return String(decoding: result, as: UTF8.self)
    }

    var text: String { text(replacing: original.count..<original.count, by: "") }

    // MARK: Finding a place

    /// The offset behind the first `part` at or after `start`.
    func end(of part: String, from start: Int = 0) -> Int? {
        let part = Array(part.utf8)
        guard original.count >= part.count, start <= original.count - part.count else { return nil }
        return (start...(original.count - part.count)).first { original[$0..<$0 + part.count].elementsEqual(part) }
            .map { $0 + part.count }
    }

    /// The offset of the bracket that closes the one that ends at `start`: comments and strings are passed over.
    func closing(after start: Int) -> Int? {
        var depth = 1
        var position = start
        while position < original.count {
            switch original[position] {
            case UInt8(ascii: "("), UInt8(ascii: "["), UInt8(ascii: "{"): depth += 1
            case UInt8(ascii: ")"), UInt8(ascii: "]"), UInt8(ascii: "}"):
                depth -= 1
                if depth == 0 { return position }
            case UInt8(ascii: "\""):
                guard let end = endOfString(from: position) else { return nil }
                position = end
                continue
            case UInt8(ascii: "/") where has("//", at: position):
                while position < original.count, original[position] != UInt8(ascii: "\n") { position += 1 }
                continue
            case UInt8(ascii: "/") where has("/*", at: position):
                guard let end = end(of: "*/", from: position) else { return nil }
                position = end
                continue
            default: break
            }
            position += 1
        }
        return nil
    }

    /// Behind a string literal, which may contain others in its interpolations.
    private func endOfString(from start: Int) -> Int? {
        let quote = has("\"\"\"", at: start) ? "\"\"\"" : "\""
        var position = start + quote.utf8.count
        while position < original.count {
            if has("\\(", at: position) {
                guard let end = closing(after: position + 2) else { return nil }
                position = end + 1
            } else if original[position] == UInt8(ascii: "\\") {
                position += 2
            } else if has(quote, at: position) {
                return position + quote.utf8.count
            } else {
                position += 1
            }
        }
        return nil
    }

    private func has(_ part: String, at offset: Int) -> Bool { original[offset...].starts(with: part.utf8) }

    /// Back over spaces and line ends: where the text before `offset` ends.
    func endOfText(before offset: Int) -> Int {
        var position = offset
        while position > 0, [0x20, 0x0a, 0x09].contains(original[position - 1]) { position -= 1 }
        return position
    }

    /// The offset of a line, from 1; the end of the text for the one after the last.
    func start(ofLine line: Int) -> Int {
        var left = line - 1
        guard left > 0 else { return 0 }
        for (offset, byte) in original.enumerated() where byte == UInt8(ascii: "\n") {
            left -= 1
            if left == 0 { return offset + 1 }
        }
        return original.count
    }
}
