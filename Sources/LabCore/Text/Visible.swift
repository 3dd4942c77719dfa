// What came from elsewhere (a student's program, the wire) must not drive the terminal: control characters become visible.

/// The text on lines of its own, tabs as spaces, every other control character as its picture (U+2400…).
public func visibleLines(_ text: String) -> [String] {
    var lines: [String] = []
    var line = String.UnicodeScalarView()
    var column = 0
    for scalar in text.unicodeScalars {
        switch scalar.value {
        case 0x0a:
            // "\r\n" ends a line as "\n" does.
            if line.last?.value == 0x240d { line.removeLast() }
            lines.append(String(line))
            line = String.UnicodeScalarView()
            column = 0
            continue
        case 0x09:
            let spaces = 4 - column % 4
            line.append(contentsOf: String(repeating: " ", count: spaces).unicodeScalars)
            column += spaces
            continue
        case 0x00..<0x20: line.append(Unicode.Scalar(0x2400 + scalar.value) ?? "?")
        case 0x7f: line.append("\u{2421}")
        case 0x80..<0xa0, 0x202a...0x202e, 0x2066...0x2069: line.append("\u{fffd}")
        default: line.append(scalar)
        }
        column += 1
    }
    if !line.isEmpty { lines.append(String(line)) }
    return lines
}

/// The same in one line.
public func visible(_ text: String) -> String { visibleLines(text).joined(separator: "␊") }
