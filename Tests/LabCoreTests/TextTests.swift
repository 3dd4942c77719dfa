import LabCore
import XCTest
import Wire

final class TextTests: XCTestCase {
    func testWidthCountsColumns() {
        let cases: [(String, Int)] = [
            ("", 0), ("abc", 3), ("套接字", 6), ("TCP：字节流", 11), ("é", 1), ("e\u{301}", 1), ("✔ ✘ ○ –", 7), ("│ ⋯ ━", 5),
            ("한국", 4), ("ｆｕｌｌ", 8), ("👍", 2), ("\u{1b}[31mred\u{1b}[0m", 3),
            ("\u{1b}]8;;file:///x\u{7}x\u{1b}]8;;\u{7}", 1),
            ("a\u{200b}b", 2),
        ]
        for (text, width) in cases { XCTAssertEqual(displayWidth(text), width, text.debugDescription) }
    }

    func testWrapBreaksBetweenWordsAndKeepsLongOnes() {
        let text = StyledText("one two three fourfivesix")
        XCTAssertEqual(text.wrapped(to: 9).map(\.plain), ["one two", "three", "fourfives", "ix"])
        XCTAssertEqual(text.wrapped(to: 13, hanging: 2).map(\.plain), ["one two three", "  fourfivesix"])
        XCTAssertEqual(StyledText("a\nb").wrapped(to: 9).map(\.plain), ["a", "b"])
        XCTAssertEqual(StyledText("").wrapped(to: 9).map(\.plain), [""])
    }

    func testWrapBreaksBetweenChineseCharactersButNotBeforeClosingPunctuation() {
        // Eight columns hold four characters; the fifth is a comma, which may not begin a line.
        XCTAssertEqual(StyledText("一二三四，五六").wrapped(to: 8).map(\.plain), ["一二三", "四，五六"])
        // Nor may an opening mark end one.
        XCTAssertEqual(StyledText("一二三（四）").wrapped(to: 8).map(\.plain), ["一二三", "（四）"])
        // English words inside stay whole.
        XCTAssertEqual(StyledText("调用 accept 再返回").wrapped(to: 10).map(\.plain), ["调用", "accept 再", "返回"])
    }

    func testEveryWrappedLineFits() {
        let text = StyledText(
            "A stream，流，has no messages：it is bytes（字节）and nothing else。 " + String(repeating: "x", count: 50))
        for width in 2...40 {
            for line in text.wrapped(to: width) { XCTAssertLessThanOrEqual(line.width, width) }
        }
    }

    func testStylesSurviveWrapping() {
        let text = StyledText("plain ") + StyledText("red words", .bad)
        let lines = text.wrapped(to: 9)
        XCTAssertEqual(lines[0], StyledText("plain ") + StyledText("red", .bad))
        XCTAssertEqual(lines[1], StyledText("words", .bad))
    }

    func testColourIsAllOrNothing() {
        let text = StyledText("ok", .good) + StyledText(" plain")
        XCTAssertEqual(text.rendered(color: true), "\u{1b}[32mok\u{1b}[0m plain")
        XCTAssertEqual(text.rendered(color: false), "ok plain")
    }

    func testTruncationMarksWhatIsCut() {
        XCTAssertEqual(StyledText("abcdef").truncated(to: 4).plain, "abc…")
        XCTAssertEqual(StyledText("套接字").truncated(to: 4).plain, "套…")
        XCTAssertEqual(StyledText("abcd").truncated(to: 4).plain, "abcd")
        XCTAssertEqual(StyledText("abcd").truncated(to: 0).plain, "")
    }

    func testWhatAProgramPrintsCannotDriveTheTerminal() {
        XCTAssertEqual(visibleLines("a\u{1b}[2Jb\r\nc\td\n\u{7}"), ["a␛[2Jb", "c   d", "␇"])
        XCTAssertEqual(visibleLines("x\u{9b}31m\u{202e}y"), ["x\u{fffd}31m\u{fffd}y"])
        XCTAssertEqual(visible("a\nb"), "a␊b")
        XCTAssertEqual(visibleLines(""), [])
    }

    func testNearestName() {
        let names = ["check", "watch", "list", "hint", "solution", "two-clients"]
        XCTAssertEqual(nearest(to: "chekc", among: names), "check")
        XCTAssertEqual(nearest(to: "lsit", among: names), "list")
        XCTAssertEqual(nearest(to: "sol", among: names), "solution")
        XCTAssertEqual(nearest(to: "clients", among: names), "two-clients")
        XCTAssertEqual(nearest(to: "HINT", among: names), "hint")
        XCTAssertNil(nearest(to: "quux", among: names))
        XCTAssertNil(nearest(to: "x", among: []))
    }

    func testDurations() {
        XCTAssertEqual(duration(0), "0.0 s")
        XCTAssertEqual(duration(12.34), "12.3 s")
        XCTAssertEqual(duration(125.2), "2 min 5 s")
    }
}
