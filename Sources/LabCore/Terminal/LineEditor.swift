// A line that is typed on a terminal in raw mode: keys in, lines out, and how it looks. It knows no descriptor.
import Wire

public struct LineEditor {
    public enum Event: Equatable, Sendable {
        case line(String)
        /// Ctrl-D on an empty line, or Ctrl-C.
        case end
        /// Ctrl-Z.
        case suspend
    }

    private var text: [Character] = []
    private var cursor = 0
    private var history: [[Character]] = []
    /// Which line of the history is shown; `history.count`: the new one, which is kept in `draft` meanwhile.
    private var place = 0
    private var draft: [Character] = []
    /// The beginning of a character whose rest has not been read yet.
    private var incomplete: [UInt8] = []

    public init() {}

    /// - Parameter bytes: what one read brought.
    public mutating func feed(_ bytes: [UInt8]) -> [Event] {
        let bytes = incomplete + bytes
        let count = bytes.count - LineEditor.incompleteCount(bytes)
        incomplete = Array(bytes[count...])
        return Key.parse(Array(bytes[..<count])).compactMap { press($0) }
    }

    /// How many bytes at the end are the beginning of a character, and not all of it.
    private static func incompleteCount(_ bytes: [UInt8]) -> Int {
        for count in 1...3 where bytes.count >= count {
            let byte = bytes[bytes.count - count]
            if byte & 0xC0 == 0x80 { continue }
            let length = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : byte >= 0xC0 ? 2 : 1
            return length > count ? count : 0
        }
        return 0
    }

    private mutating func press(_ key: Key) -> Event? {
        switch key {
        case .enter: return .line(take())
        case .character("\u{7f}"), .control("h"):
            guard cursor > 0 else { return nil }
            cursor -= 1
            text.remove(at: cursor)
        case .character(let character): insert(character)
        case .control("c"): return .end
        case .control("d"):
            if text.isEmpty { return .end }
            if cursor < text.count { text.remove(at: cursor) }
        case .control("z"): return .suspend
        case .left, .control("b"): cursor = max(0, cursor - 1)
        case .right, .control("f"): cursor = min(text.count, cursor + 1)
        case .home, .control("a"): cursor = 0
        case .end, .control("e"): cursor = text.count
        case .control("u"):
            text.removeFirst(cursor)
            cursor = 0
        case .control("k"): text.removeLast(text.count - cursor)
        case .control("w"):
            var start = cursor
            while start > 0, text[start - 1] == " " { start -= 1 }
            while start > 0, text[start - 1] != " " { start -= 1 }
            text.removeSubrange(start..<cursor)
            cursor = start
        case .up, .control("p"): recall(place - 1)
        case .down, .control("n"): recall(place + 1)
        default: break
        }
        return nil
    }

    /// An accent that comes behind its letter makes one character of both.
    private mutating func insert(_ character: Character) {
        if cursor > 0, case let joined = String(text[cursor - 1]) + String(character), joined.count == 1 {
            text[cursor - 1] = Character(joined)
        } else {
            text.insert(character, at: cursor)
            cursor += 1
        }
    }

    private mutating func take() -> String {
        defer { (text, cursor, draft, place) = ([], 0, [], history.count) }
        if !text.isEmpty, history.last != text { history.append(text) }
        return String(text)
    }

    private mutating func recall(_ wanted: Int) {
        guard (0...history.count).contains(wanted) else { return }
        if place == history.count { draft = text }
        place = wanted
        text = wanted == history.count ? draft : history[wanted]
        cursor = text.count
    }

    /// The line behind its prompt, with the cursor in its place: one line of the screen, whatever its length. What does not
    /// fit is left out at the side where the cursor is not.
    ///
    /// - Parameter promptWidth: in columns; `prompt` may have colours.
    public func drawn(prompt: String, promptWidth: Int, columns: Int) -> String {
        let room = max(4, columns - promptWidth - 1)
        var start = cursor
        var before = 0
        while start > 0, before + displayWidth(of: text[start - 1]) <= room {
            start -= 1
            before += displayWidth(of: text[start])
        }
        var shown = ""
        var width = 0
        for character in text[start...] {
            width += displayWidth(of: character)
            if width > room { break }
            shown.append(character)
        }
        let column = promptWidth + before
        return prompt + shown + "\r" + (column > 0 ? "\u{1b}[\(column)C" : "")
    }
}
