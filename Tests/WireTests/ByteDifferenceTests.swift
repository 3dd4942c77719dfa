// Where bytes differ, shown so that a person sees it at once.
import Course
import Wire
import XCTest

final class ByteDifferenceTests: XCTestCase {
    override func tearDown() { Language.current = .english }

    private func assertDifference(
        _ expected: String, _ got: String, _ text: String, file: StaticString = #filePath, line: UInt = #line
    ) {
        let lines = byteDifference(expected: Array(expected.utf8), got: Array(got.utf8))
        XCTAssertEqual(lines.joined(separator: "\n"), text, file: file, line: line)
        XCTAssertTrue(lines.allSatisfy { displayWidth($0) <= 68 }, file: file, line: line)
    }

    func testEqualBytesHaveNone() { XCTAssertEqual(byteDifference(expected: [1, 2], got: [1, 2]), []) }

    func testAtTheStart() {
        assertDifference(
            "WORLD", "world",
            #"""
            offset 0   expected  57 4f 52 4c 44  WORLD
                       got       77 6f 72 6c 64  world
                                 ^^
            """#)
    }

    func testLater() {
        assertDifference(
            "0123456789abcdef", "0123456789Xbcdef",
            #"""
            offset 6   expected  36 37 38 39 61 62 63 64 65 66  6789abcdef
                       got       36 37 38 39 58 62 63 64 65 66  6789Xbcdef
                                             ^^
            """#)
    }

    func testShorter() {
        assertDifference(
            "HELLO", "HEL",
            #"""
            offset 0   expected  48 45 4c 4c 4f  HELLO
                       got       48 45 4c        HEL
                                          ^^
            """#)
    }

    func testLonger() {
        assertDifference(
            "HEL", "HELLO",
            #"""
            offset 0   expected  48 45 4c        HEL
                       got       48 45 4c 4c 4f  HELLO
                                          ^^
            """#)
    }

    func testNothing() {
        assertDifference(
            "HELLO", "",
            #"""
            offset 0   expected  48 45 4c 4c 4f  HELLO
                       got       (nothing)
                                 ^^
            """#)
    }

    func testBytesThatAreNoText() {
        assertDifference(
            "a\u{0}\n", "a\u{0}\u{7f}",
            #"""
            offset 0   expected  61 00 0a  a..
                       got       61 00 7f  a..
                                       ^^
            """#)
    }

    func testLongOnes() {
        assertDifference(
            String(repeating: "x", count: 300) + "A", String(repeating: "x", count: 300) + "B",
            #"""
            offset 296   expected  78 78 78 78 41  xxxxA
                         got       78 78 78 78 42  xxxxB
                                               ^^
            """#)
    }

    func testInChinese() {
        Language.current = .chinese
        assertDifference(
            "HELLO", "HELlo",
            #"""
            偏移 0   应为  48 45 4c 4c 4f  HELLO
                     实为  48 45 4c 6c 6f  HELlo
                                    ^^
            """#)
        assertDifference(
            "HELLO", "",
            #"""
            偏移 0   应为  48 45 4c 4c 4f  HELLO
                     实为  （无）
                           ^^
            """#)
    }

    /// The caret stands under the first byte that differs, whatever it is, in either language.
    func testCaretStandsUnderTheFirstThatDiffers() {
        for language in Language.allCases {
            Language.current = language
            for place in [0, 1, 3, 4, 5, 9, 100] {
                let expected = [UInt8](repeating: 0x41, count: 120)
                var got = expected
                got[place] = 0xee
                let lines = byteDifference(expected: expected, got: got)
                let before = lines[1][..<(lines[1].range(of: "ee")?.lowerBound ?? lines[1].endIndex)]
                let caret = lines[2][..<(lines[2].firstIndex(of: "^") ?? lines[2].endIndex)]
                XCTAssertEqual(displayWidth(String(before)), displayWidth(String(caret)), "\(language) \(place)")
            }
        }
    }

    func testWidth() {
        XCTAssertEqual(displayWidth(""), 0)
        XCTAssertEqual(displayWidth("recv(4) ⋯"), 9)
        XCTAssertEqual(displayWidth("套接字"), 6)
        // Quotation marks take one column, the other signs two.
        XCTAssertEqual(displayWidth("，（）：“”"), 10)
        XCTAssertEqual(displayWidth("a大b"), 4)
        XCTAssertEqual(displayWidth("e\u{301}"), 1)
        XCTAssertEqual(displayWidth("한글かなカナ"), 12)
        XCTAssertEqual(displayWidth("😀"), 2)
        XCTAssertEqual(displayWidth("ｆｕｌｌ"), 8)
    }
}
