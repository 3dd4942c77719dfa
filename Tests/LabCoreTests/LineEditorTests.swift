import LabCore
import XCTest

/// Keys in, lines out.
final class LineEditorTests: XCTestCase {
    private func lines(_ keys: String...) -> [LineEditor.Event] {
        var editor = LineEditor()
        return keys.flatMap { editor.feed(Array($0.utf8)) }
    }

    func testLinesAndCorrections() {
        XCTAssertEqual(lines("hello\r", "\r"), [.line("hello"), .line("")])
        XCTAssertEqual(lines("helloo\u{7f} w\u{8}you\r"), [.line("hello you")])
        XCTAssertEqual(lines("world\u{1b}[H\u{1b}[C\u{1b}[D", "hello \r"), [.line("hello world")])
        XCTAssertEqual(
            lines("one two three\u{17}\u{17}\r", "abc\u{1}\u{4}\r", "ab\u{15}c\r"),
            [.line("one "), .line("bc"), .line("c")])
        XCTAssertEqual(lines("a", "\u{4}", "\u{7f}\u{4}"), [.end])
        XCTAssertEqual(lines("\u{3}", "\u{1a}"), [.end, .suspend])
    }

    func testHistory() {
        let up = "\u{1b}[A"
        let down = "\u{1b}[B"
        XCTAssertEqual(
            lines("one\r", "two\r", "new" + up + up + "\r", "x" + up + down + "y\r", up + up + up + up + up + "\r"),
            [.line("one"), .line("two"), .line("one"), .line("xy"), .line("one")])
    }

    func testCharactersThatAreCut() {
        var editor = LineEditor()
        var events: [LineEditor.Event] = []
        for byte in Array("你好 😀\u{7f}é\r".utf8) { events += editor.feed([byte]) }
        XCTAssertEqual(events, [.line("你好 é")])
        XCTAssertEqual(lines("e\u{301}\u{7f}\r"), [.line("")])
    }

    func testWhatDoesNotFitIsLeftOut() {
        var editor = LineEditor()
        XCTAssertEqual(editor.drawn(prompt: "> ", promptWidth: 2, columns: 10), "> \r\u{1b}[2C")
        _ = editor.feed(Array("abcdefghijkl".utf8))
        XCTAssertEqual(editor.drawn(prompt: "> ", promptWidth: 2, columns: 10), "> fghijkl\r\u{1b}[9C")
        _ = editor.feed(Array("\u{1b}[H".utf8))
        XCTAssertEqual(editor.drawn(prompt: "> ", promptWidth: 2, columns: 10), "> abcdefg\r\u{1b}[2C")
        // A Chinese character has two columns.
        _ = editor.feed(Array("\u{b}你好你好".utf8))
        XCTAssertEqual(editor.drawn(prompt: "> ", promptWidth: 2, columns: 10), "> 好你好\r\u{1b}[8C")
    }
}
