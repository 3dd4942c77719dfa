// Breaking a paragraph into lines: between words, and between Chinese characters, where no space is needed. A line never
// begins with closing punctuation nor ends with opening punctuation (W3C, Requirements for Chinese Text Layout, 3.1.4).
import Wire

extension StyledText {
    /// - Parameter width: columns of a line; a word longer than that is cut.
    /// - Parameter hanging: spaces before every line but the first.
    public func wrapped(to width: Int, hanging: Int = 0) -> [StyledText] {
        let cells = cells
        var lines: [StyledText] = []
        var start = 0
        while start < cells.count {
            let indent = lines.isEmpty ? 0 : hanging
            let room = max(2, width - indent)
            let end = lineEnd(cells, from: start, room: room)
            var line = cells[start..<end.end]
            while line.last?.character == " " { line.removeLast() }
            lines.append(StyledText(String(repeating: " ", count: indent)) + StyledText(cells: line))
            start = end.next
        }
        return lines.isEmpty ? [StyledText()] : lines
    }

    /// Where the line that begins at `start` ends, and where the next one begins.
    private func lineEnd(_ cells: [Cell], from start: Int, room: Int) -> (end: Int, next: Int) {
        var used = 0
        var chance: Int?
        var index = start
        while index < cells.count {
            let character = cells[index].character
            if character == "\n" { return (index, index + 1) }
            if index > start, canBreak(between: cells[index - 1].character, and: character) { chance = index }
            used += displayWidth(of: character)
            if used > room && !(character == " ") { break }
            index += 1
        }
        if index == cells.count { return (index, index) }
        let end = chance ?? max(index, start + 1)
        var next = end
        while next < cells.count, cells[next].character == " " { next += 1 }
        return (end, next)
    }
}

private func canBreak(between left: Character, and right: Character) -> Bool {
    if right == " " { return false }
    if left == " " { return true }
    if neverLast.contains(left) || neverFirst.contains(right) { return false }
    return isIdeograph(left) || isIdeograph(right)
}

private func isIdeograph(_ character: Character) -> Bool { displayWidth(of: character) == 2 }

private let neverFirst: Set<Character> = [
    "，", "。", "、", "；", "：", "！", "？", "）", "」", "』", "》", "〉", "】", "”", "’", "…", "—", ",", ".", ";", ":", "!", "?",
    ")", "]", "}", "%",
]
private let neverLast: Set<Character> = ["（", "「", "『", "《", "〈", "【", "“", "‘", "(", "[", "{"]
