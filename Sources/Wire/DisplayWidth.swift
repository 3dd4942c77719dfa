// How many columns a text takes on a terminal: Chinese, Japanese and Korean two a character, combining marks none
// (Unicode Standard Annex #11, East Asian Width; wcwidth(3) would depend on the locale).

/// Columns that `text` takes in one line. Escape sequences (colour) take none.
public func displayWidth(_ text: String) -> Int {
    // Nearly every text is ASCII without escapes: one byte, one column.
    if text.utf8.allSatisfy({ $0 >= 0x20 && $0 < 0x7f }) { return text.utf8.count }
    var width = 0
    var rest = text[...]
    while let character = rest.first {
        if character == "\u{1b}", let end = endOfEscape(rest) {
            rest = rest[end...]
            continue
        }
        width += displayWidth(of: character)
        rest.removeFirst()
    }
    return width
}

/// Columns of one character.
public func displayWidth(of character: Character) -> Int {
    var width = 0
    for scalar in character.unicodeScalars {
        // An emoji presentation selector makes its base wide.
        if scalar.value == 0xFE0F { return 2 }
        width = max(width, scalarWidth(scalar))
    }
    return width
}

private func scalarWidth(_ scalar: Unicode.Scalar) -> Int {
    let value = scalar.value
    if value < 0x20 || (0x7f..<0xa0).contains(value) { return 0 }
    if value < 0x300 { return 1 }
    switch scalar.properties.generalCategory {
    case .nonspacingMark, .enclosingMark, .format: return 0
    default: return wideRanges.contains { $0.contains(value) } ? 2 : 1
    }
}

/// The blocks whose characters are W or F in EastAsianWidth.txt.
private let wideRanges: [ClosedRange<UInt32>] = [
    0x1100...0x115F, 0x231A...0x231B, 0x23E9...0x23EC, 0x25FD...0x25FE, 0x2614...0x2615, 0x267F...0x267F,
    0x26A1...0x26A1, 0x26AA...0x26AB, 0x26BD...0x26BE, 0x26D4...0x26D4, 0x2705...0x2705, 0x274C...0x274E,
    0x2753...0x2755, 0x2757...0x2757, 0x2795...0x2797, 0x2B1B...0x2B1C, 0x2B50...0x2B50, 0x2E80...0x303E,
    0x3041...0x33FF, 0x3400...0x4DBF, 0x4E00...0x9FFF, 0xA000...0xA4CF, 0xA960...0xA97F, 0xAC00...0xD7A3,
    0xF900...0xFAFF, 0xFE10...0xFE19, 0xFE30...0xFE6F, 0xFF00...0xFF60, 0xFFE0...0xFFE6, 0x1F300...0x1F64F,
    0x1F680...0x1F6FF, 0x1F900...0x1F9FF, 0x20000...0x3FFFD,
]

/// Where the text goes on after the control sequence that `text` begins with: `ESC [ … letter` or `ESC ] … BEL`.
private func endOfEscape(_ text: Substring) -> Substring.Index? {
    var index = text.index(after: text.startIndex)
    guard index < text.endIndex else { return nil }
    switch text[index] {
    case "[":
        index = text.index(after: index)
        while index < text.endIndex, let value = text[index].asciiValue {
            index = text.index(after: index)
            if (0x40...0x7e).contains(value) { return index }
        }
        return nil
    case "]":
        guard let bell = text[index...].firstIndex(of: "\u{7}") else { return nil }
        return text.index(after: bell)
    default: return nil
    }
}
