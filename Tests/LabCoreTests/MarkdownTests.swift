import Course
import LabCore
import XCTest

final class MarkdownTests: XCTestCase {
    private func blocks(_ text: String) -> [Markdown.Block] { Markdown(text).blocks }

    func testInlineMarks() {
        XCTAssertEqual(
            blocks("a `b *c*` **d `e`** *f* [g `h`](i) \\*j\\*"),
            [
                .paragraph([
                    .text("a "), .code("b *c*"), .text(" "), .strong([.text("d "), .code("e")]), .text(" "),
                    .emphasis([.text("f")]), .text(" "), .link([.text("g "), .code("h")], target: "i"), .text(" *j*"),
                ])
            ])
    }

    func testMarksThatAreNotClosedAreText() {
        XCTAssertEqual(blocks("2 * 3 = `6 and **more"), [.paragraph([.text("2 * 3 = `6 and **more")])])
        XCTAssertEqual(blocks("SO_REUSEADDR and my_var_name"), [.paragraph([.text("SO_REUSEADDR and my_var_name")])])
        XCTAssertEqual(blocks("[no link] here"), [.paragraph([.text("[no link] here")])])
    }

    func testCodeSpansMayHoldBackticks() {
        XCTAssertEqual(blocks("`` a`b `` x"), [.paragraph([.code("a`b"), .text(" x")])])
    }

    func testStrongMayEndWithEmphasis() {
        XCTAssertEqual(
            blocks("**a *b***"), [.paragraph([.strong([.text("a "), .emphasis([.text("b")])])])])
    }

    func testHeadingsHaveGitHubAnchorsAndGivenOnes() {
        let text = Markdown("## `recv`, and EINTR!\n\n<a id=\"many-clients\"></a>\n## 很多客户端\n")
        XCTAssertEqual(text.anchors, ["recv-and-eintr", "many-clients", "很多客户端"])
    }

    func testASectionEndsAtTheNextHeadingOfItsLevel() throws {
        let text = Markdown("# A\n\none\n\n## B\n\ntwo\n\n### C\n\nthree\n\n## D\n\nfour")
        XCTAssertEqual(try XCTUnwrap(text.section("b")).blocks.count, 4)
        XCTAssertEqual(try XCTUnwrap(text.section("d")).blocks.count, 2)
        XCTAssertEqual(try XCTUnwrap(text.from("b")).blocks.count, 6)
        XCTAssertNil(text.section("nope"))
    }

    func testFencesKeepTheirContentWhatever() {
        XCTAssertEqual(
            blocks("```sh\n# not a heading\n\n  indented | bar\n```\nafter"),
            [.code(language: "sh", ["# not a heading", "", "  indented | bar"]), .paragraph([.text("after")])])
        XCTAssertEqual(blocks("````\n```\n````"), [.code(language: "", ["```"])])
        XCTAssertEqual(blocks("```\nopen"), [.code(language: "", ["open"])])
    }

    func testFourSpacesMakeCodeOutsideOfAParagraph() {
        XCTAssertEqual(
            blocks("before\n\n    lab check 05\n    # no heading\n\n      | no | table\n\nafter\n    more of it"),
            [
                .paragraph([.text("before")]),
                .code(language: "", ["lab check 05", "# no heading", "", "  | no | table"]),
                .paragraph([.text("after more of it")]),
            ])
    }

    func testListsNestAndCarryCode() {
        XCTAssertEqual(
            blocks("1. one\n   - a\n   - b\n2. two\n\n   ```\n   code\n   ```\n"),
            [
                .list(
                    start: 1,
                    [
                        [
                            .paragraph([.text("one")]),
                            .list(start: nil, [[.paragraph([.text("a")])], [.paragraph([.text("b")])]]),
                        ],
                        [.paragraph([.text("two")]), .code(language: "", ["code"])],
                    ])
            ])
    }

    func testALineThatGoesOnBelongsToItsItem() {
        XCTAssertEqual(
            blocks("- one\n  two\nthree\n\nafter"),
            [.list(start: nil, [[.paragraph([.text("one two three")])]]), .paragraph([.text("after")])])
    }

    func testTables() {
        XCTAssertEqual(
            blocks("| a | b |\n|:--|--:|\n| `x|y` | 1 |\n| z |\n"),
            [
                .table(
                    header: [[.text("a")], [.text("b")]], alignments: [.left, .right],
                    rows: [[[.code("x|y")], [.text("1")]], [[.text("z")], []]])
            ])
    }

    func testSourceLinesOfChineseJoinWithoutASpace() {
        XCTAssertEqual(blocks("一行\n二行"), [.paragraph([.text("一行二行")])])
        XCTAssertEqual(blocks("one\n二"), [.paragraph([.text("one 二")])])
    }

    func testCommentsAndRules() {
        XCTAssertEqual(blocks("<!-- not\nshown -->\n\n---\n\nx"), [.rule, .paragraph([.text("x")])])
    }

    func testEveryLessonFitsTheScreenAndLosesNothing() throws {
        // The course's own texts: whatever they use must be understood, so no mark may be left in the output.
        let root = Fixtures.folder.deletingLastPathComponent().deletingLastPathComponent()
        let catalogue = try Catalogue.load(root: root)
        for lesson in catalogue.lessons {
            for language in Language.allCases {
                let file = Workspace(root: root).text(of: lesson, in: language)
                guard let source = try? String(contentsOf: file, encoding: .utf8) else { continue }
                for line in MarkdownText(width: 80, color: true).lines(Markdown(source)) {
                    let text = line.plain
                    XCTAssertFalse(text.contains("**") && !text.hasPrefix("    "), "\(file.path): \(text)")
                    XCTAssertFalse(text.contains("](") && !text.hasPrefix("    "), "\(file.path): \(text)")
                    XCTAssertFalse(text.hasPrefix("|"), "\(file.path): \(text)")
                    // Code is never wrapped; all else is.
                    if !text.contains("    ") { XCTAssertLessThanOrEqual(line.width, 80, "\(file.path): \(text)") }
                }
            }
        }
    }

    func testGolden() throws {
        for (name, file) in [("en", "README.md"), ("zh-Hans", "README.zh-Hans.md")] {
            let text = Markdown(try Fixtures.text("package/Lessons/04-tcp/\(file)"))
            try assertGolden(MarkdownText(width: 60, color: false).lines(text), "markdown.\(name)", width: 60)
        }
    }
}
