// Two byte strings beside each other, from shortly before they differ.
import Course

/// Lines that show where `got` departs from `expected`, 10 bytes a row, hex beside text, with a caret under the
/// first byte that differs. At most 68 columns, to stand indented in a report of 80. Empty if they are equal.
///
///     offset 0   expected  57 4f 52 4c 44  WORLD
///                got       77 6f 72 6c 64  world
///                          ^^
public func byteDifference(expected: [UInt8], got: [UInt8]) -> [String] {
    guard expected != got else { return [] }
    let first =
        zip(expected, got).enumerated().first { $0.element.0 != $0.element.1 }?.offset
        ?? min(expected.count, got.count)
    let start = max(0, first - 4)
    let row = 10
    let longest = min(row, max(expected.count, got.count) - start)
    let offset = say("offset \(start)", "偏移 \(start)")
    let labels = [say("expected", "应为"), say("got", "实为")]
    let margin = String(repeating: " ", count: displayWidth(offset) + 3)
    let labelWidth = labels.map { displayWidth($0) }.max() ?? 0
    func line(_ lead: String, _ label: String, _ bytes: [UInt8]) -> String {
        let part = bytes.dropFirst(start).prefix(row)
        let digits = part.map(hex).joined(separator: " ")
        let text = part.map { (0x20...0x7e).contains($0) ? String(UnicodeScalar($0)) : "." }.joined()
        let hexColumn = digits + String(repeating: " ", count: longest * 3 - 1 - digits.count)
        let more = bytes.count > start + row ? " …" : ""
        return lead + label + String(repeating: " ", count: labelWidth - displayWidth(label)) + "  "
            + (part.isEmpty ? say("(nothing)", "（无）") : hexColumn + "  " + text + more)
    }
    let caret = margin + String(repeating: " ", count: labelWidth + 2 + (first - start) * 3) + "^^"
    return [line(offset + "   ", labels[0], expected), line(margin, labels[1], got), caret]
}
