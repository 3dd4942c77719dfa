import Course
import Foundation
import GraderKit
import LabCore
import XCTest

final class WalkTests: XCTestCase {
    private func walk(_ progress: CourseProgress = CourseProgress()) throws -> WalkState {
        try XCTUnwrap(
            WalkState(catalogue: Fixtures.catalogue(), workspace: Fixtures.workspace, progress: progress))
    }

    private func atServer() throws -> WalkState {
        var progress = CourseProgress()
        progress.here = "04-tcp/uppercase-server"
        return try walk(progress)
    }

    private func screen(_ state: inout WalkState, _ columns: Int = 80, _ rows: Int = 24) -> [StyledText] {
        WalkScreen(columns: columns, rows: rows, now: Date(timeIntervalSince1970: 3), tick: 0).lines(&state)
    }

    func testScreensInBothLanguages() throws {
        try inEachLanguage { language in
            var state = try atServer()
            state.begin(at: Date(timeIntervalSince1970: 1))
            try assertGolden(screen(&state), "walk-running.\(language.rawValue)")
            state.saved = ("UppercaseServer.swift", "12:04:31")
            for name in ["passed", "blocked"] { state.add(.verdict(try Fixtures.verdict(name))) }
            var summary = Summary(seed: 7)
            summary.seconds = 1.2
            state.add(.summary(summary))
            state.hints = 1
            try assertGolden(screen(&state), "walk-failed.\(language.rawValue)")
            _ = state.press(.character("l"))
            try assertGolden(screen(&state), "walk-list.\(language.rawValue)")
        }
    }

    func testEveryScreenFitsEveryTerminal() throws {
        for (columns, rows) in [(80, 24), (120, 50), (40, 12), (20, 5), (200, 10)] {
            for language in Language.allCases {
                let before = Language.current
                Language.current = language
                defer { Language.current = before }
                var state = try atServer()
                for name in ["passed", "blocked", "not-started"] { state.add(.verdict(try Fixtures.verdict(name))) }
                state.hints = 3
                for key: Key in [.character("x"), .character("l"), .escape] {
                    _ = state.press(key)
                    let lines = screen(&state, columns, rows)
                    XCTAssertEqual(lines.count, rows)
                    for line in lines { XCTAssertLessThanOrEqual(line.width, columns, line.plain) }
                }
                state.open("title", (1...100).map { StyledText("line \($0)") }, at: 1000)
                let lines = screen(&state, columns, rows)
                XCTAssertEqual(lines.count, rows)
                XCTAssertTrue(lines.contains { $0.plain.contains("line 100") }, "the end of a page is reached")
            }
        }
    }

    func testTheFirstFailureIsSelectedUntilTheStudentChooses() throws {
        var state = try atServer()
        state.begin(at: Date())
        XCTAssertEqual(state.selected, "answers")
        state.add(.verdict(try Fixtures.verdict("not-started")))
        state.add(.verdict(try Fixtures.verdict("passed")))
        XCTAssertEqual(state.selected, "survives-reset")
        state.add(.verdict(try Fixtures.verdict("blocked")))
        XCTAssertEqual(state.selected, "two-clients")
        _ = state.press(.down)
        XCTAssertEqual(state.selected, "survives-reset")
        state.begin(at: Date())
        state.add(.verdict(try Fixtures.verdict("blocked")))
        XCTAssertEqual(state.selected, "survives-reset")
    }

    func testKeysAskForWhatTheyPromise() throws {
        var state = try atServer()
        XCTAssertEqual(state.press(.character("h")), .hint(check: "answers"))
        XCTAssertEqual(state.press(.character("t")), .showText)
        XCTAssertEqual(state.press(.character("r")), .showTrace(check: "answers"))
        XCTAssertEqual(state.press(.character("o")), .edit)
        XCTAssertEqual(state.press(.character("s")), .askForSolution)
        XCTAssertEqual(state.press(.enter), .check)
        XCTAssertEqual(state.press(.character("q")), .quit)
        XCTAssertEqual(state.press(.control("c")), .quit)
        XCTAssertEqual(state.press(.character("n")), .check)
        XCTAssertEqual(state.exercise.id, "framed-server")
        XCTAssertEqual(state.press(.character("n")), .none)
        XCTAssertNotNil(state.notice)
        XCTAssertEqual(state.press(.character("p")), .check)
        XCTAssertNil(state.notice)
        _ = state.press(.character("l"))
        _ = state.press(.up)
        XCTAssertEqual(state.press(.enter), .check)
        XCTAssertEqual(state.exercise.id, "send-all")
    }

    func testPassingNamesTheNextExercise() throws {
        var state = try walk()
        var verdict = try Fixtures.verdict("passed")
        verdict.check = "send-short"
        state.add(.verdict(verdict))
        XCTAssertTrue(state.isPassed)
        let text = screen(&state).map(\.plain).joined(separator: "\n")
        XCTAssertTrue(text.contains("Press n for uppercase-server"), text)
    }

    func testKeysOfATerminal() {
        XCTAssertEqual(Key.parse(Array("qH".utf8)), [.character("q"), .character("H")])
        XCTAssertEqual(Key.parse(Array("\u{1b}[A\u{1b}[B\u{1b}OC\u{1b}[D".utf8)), [.up, .down, .right, .left])
        XCTAssertEqual(Key.parse(Array("\u{1b}[5~\u{1b}[6~\u{1b}[H\u{1b}[4~".utf8)), [.pageUp, .pageDown, .home, .end])
        XCTAssertEqual(Key.parse([0x1b]), [.escape])
        XCTAssertEqual(Key.parse([3, 26, 13]), [.control("c"), .control("z"), .enter])
        XCTAssertEqual(Key.parse(Array("套q".utf8)), [.character("套"), .character("q")])
        // A sequence that nobody knows is swallowed whole, so that its letters are not taken for keys.
        XCTAssertEqual(Key.parse(Array("\u{1b}[200~q".utf8)), [.character("q")])
    }
}
