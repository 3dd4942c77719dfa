// The interactive walk in a pseudo-terminal: keys, sizes, signals, and a real save of a real file.
import Course
import Foundation
import GraderKit
import LabCore
import Sockets
import XCTest
import Wire

final class WalkProcessTests: XCTestCase {
    private func start(
        _ copy: Workspace, columns: Int = 80, rows: Int = 24, environment more: [String: String] = [:]
    ) throws -> PseudoTerminal {
        try PseudoTerminal(
            Lab.executable, [], in: copy.root,
            environment: Lab.environment(["TERM": "xterm-256color"].merging(more) { $1 }),
            columns: columns, rows: rows)
    }

    private func copyAtServer() throws -> (Workspace, file: URL, reference: Data) {
        let copy = try Lab.copy(self)
        try ProgressFile(copy).update { $0.here = "03-udp/uppercase-server" }
        let lesson = try copy.catalogue().find(lesson: "03")
        let exercise = try lesson.find(exercise: "uppercase-server")
        return (copy, copy.file(exercise, of: lesson), try Data(contentsOf: copy.solution(exercise, of: lesson)))
    }

    /// The terminal is the shell's again: cooked, the cursor shown, the screen the one that was there before.
    private func assertClean(_ terminal: PseudoTerminal, file: StaticString = #filePath, line: UInt = #line) {
        XCTAssertTrue(terminal.isCooked, "the terminal is still raw", file: file, line: line)
        let text = terminal.text
        for (enter, leave) in [("\u{1b}[?1049h", "\u{1b}[?1049l"), ("\u{1b}[?25l", "\u{1b}[?25h")] {
            let entered = text.range(of: enter, options: .backwards)?.lowerBound
            let left = text.range(of: leave, options: .backwards)?.lowerBound
            XCTAssertNotNil(entered, file: file, line: line)
            XCTAssertTrue(
                entered.map { $0 < (left ?? text.startIndex) } ?? false, "no \(leave.dropFirst())", file: file,
                line: line)
        }
    }

    /// A trap of the lab's own runs no cleanup: only the signal's handler can put the terminal back.
    func testACrashOfTheLabLeavesACleanTerminal() throws {
        let (copy, _, _) = try copyAtServer()
        for number in [SIGILL, SIGABRT, SIGSEGV] {
            // Swift's backtrace of a signal that somebody sent, and no instruction caused, would let the process live on.
            let terminal = try start(copy, environment: ["SWIFT_BACKTRACE": "enable=no"])
            terminal.waitForScreen(containing: "Exercises/03-udp/UppercaseServer.swift")
            XCTAssertFalse(terminal.isCooked)
            kill(terminal.process, number)
            XCTAssertEqual(terminal.ending(within: 60), 128 + number)
            assertClean(terminal)
        }
    }

    func testFromTheFirstScreenToPassedBySavingTheFile() throws {
        let (copy, file, reference) = try copyAtServer()
        let terminal = try start(copy)

        // It begins where the student is, and says what is to be done.
        terminal.waitForScreen(containing: "Exercises/03-udp/UppercaseServer.swift")
        terminal.waitForScreen(containing: "○ uppercase-answers", within: 180)
        terminal.waitForScreen(containing: "not started")

        terminal.press("h")
        terminal.waitForScreen(containing: "hint 1")
        terminal.press("h")
        terminal.waitForScreen(containing: "hint 2")

        // The solution has to be asked for twice.
        terminal.press("s")
        terminal.waitForScreen(containing: "s once more")
        terminal.press("s")
        terminal.waitForScreen(containing: "Solutions/03-udp/UppercaseServer.swift")
        terminal.press("q")

        // Saved as editors do it: another file, renamed into place.
        try writeAtomically(reference, to: file)
        let seconds = terminal.waitForScreen(within: 120) { $0.contains { $0.contains("✔ uppercase-answers") } }
        XCTAssertNotNil(seconds, terminal.screen.joined(separator: "\n"))
        print("from the save to the first verdict: \(seconds ?? -1) s")
        terminal.waitForScreen(containing: "Passed.", within: 20)

        // Saved in place: broken, and said so.
        let handle = try FileHandle(forWritingTo: file)
        try handle.seekToEnd()
        try handle.write(contentsOf: Data("\nlet broken: Int = \"\"\n".utf8))
        try handle.close()
        terminal.waitForScreen(containing: "03 does not compile", within: 20)
        terminal.waitForScreen(containing: "UppercaseServer.swift:")

        terminal.press("q")
        XCTAssertEqual(terminal.ending(within: 20), 0)
        assertClean(terminal)
    }

    func testViewsKeysAndSizes() throws {
        let (copy, _, _) = try copyAtServer()
        let terminal = try start(copy, environment: ["NO_COLOR": "1"])
        terminal.waitForScreen(containing: "UppercaseServer.swift")
        XCTAssertFalse(terminal.text.contains("\u{1b}[32m"), "colour in spite of NO_COLOR")

        terminal.press("l")
        terminal.waitForScreen(containing: "choose")
        terminal.waitForScreen(containing: "› ")
        terminal.press("\u{1b}")
        terminal.press("t")
        terminal.waitForScreen(containing: "Lessons/03-udp/README")
        terminal.press("q")
        terminal.waitForScreen(containing: "quit")
        terminal.press("n")
        XCTAssertNotNil(
            terminal.waitForScreen { !$0.contains { $0.contains("/UppercaseServer.swift") } && $0.count == 24 })
        terminal.press("p")
        terminal.waitForScreen(containing: "/UppercaseServer.swift")

        for (columns, rows) in [(50, 12), (120, 40), (20, 5)] {
            terminal.resize(columns: columns, rows: rows)
            let fits = terminal.waitForScreen {
                $0.count == rows && $0.allSatisfy { displayWidth($0) <= columns }
            }
            XCTAssertNotNil(fits, "\(columns)×\(rows):\n" + terminal.screen.joined(separator: "\n"))
        }
        terminal.press("\u{3}")
        XCTAssertEqual(terminal.ending(within: 20), 0)
        assertClean(terminal)
    }

    func testCtrlCWhileChecksRunLeavesNothing() throws {
        let (copy, _, _) = try copyAtServer()
        let mark = "LAB_TEST_MARK=\(UUID().uuidString)"
        let variable = mark.split(separator: "=").map(String.init)
        let terminal = try start(copy, environment: [variable[0]: variable[1]])
        terminal.waitForScreen(containing: "building")
        terminal.press("\u{3}")
        XCTAssertEqual(terminal.ending(within: 20), 0)
        assertClean(terminal)
        assertNoProcess(with: mark)
    }

    func testSignalsLeaveTheTerminalClean() throws {
        for number in [SIGINT, SIGTERM, SIGHUP] {
            let (copy, _, _) = try copyAtServer()
            let terminal = try start(copy)
            terminal.waitForScreen(containing: "UppercaseServer.swift")
            kill(terminal.process, number)
            XCTAssertEqual(terminal.ending(within: 20), 128 + number)
            assertClean(terminal)
        }
    }

    func testTheEditorGetsTheTerminalAndTheFile() throws {
        let (copy, file, reference) = try copyAtServer()
        let new = file.path + ".new"
        try writeAtomically(reference, to: URL(fileURLWithPath: new))
        // An editor that shows whether its terminal is cooked, and saves.
        let editor = "stty -a | grep -q ' icanon' && echo COOKED; cp '\(new)' "
        let terminal = try start(copy, environment: ["EDITOR": editor])
        terminal.waitForScreen(containing: "UppercaseServer.swift")
        terminal.press("o")
        terminal.waitForScreen(containing: "✔ uppercase-answers", within: 180)
        XCTAssertTrue(terminal.text.contains("COOKED"))
        terminal.press("q")
        XCTAssertEqual(terminal.ending(within: 20), 0)
        assertClean(terminal)
    }

    func testADumbTerminalGetsTheOverview() throws {
        let copy = try Lab.copy(self)
        let terminal = try start(copy, environment: ["TERM": "dumb"])
        XCTAssertEqual(terminal.ending(within: 20), 0)
        XCTAssertFalse(terminal.text.contains("\u{1b}"), terminal.text)
        XCTAssertTrue(terminal.text.contains("lab check 01"), terminal.text)
    }

    // MARK: Other commands on a terminal

    func testCheckOnATerminalIsColouredAndEndsWithCtrlC() throws {
        let mark = "LAB_TEST_MARK=\(UUID().uuidString)"
        let variable = mark.split(separator: "=").map(String.init)
        let terminal = try PseudoTerminal(
            Lab.executable, ["check", "03", "--solution"], in: Lab.root,
            environment: Lab.environment(["TERM": "xterm-256color", variable[0]: variable[1]]), columns: 80, rows: 24)
        terminal.waitForText("\u{1b}[32m✔ \u{1b}[0m")
        // Cooked: the terminal makes it a signal for the whole foreground.
        terminal.press("\u{3}")
        XCTAssertEqual(terminal.ending(within: 20), 128 + SIGINT)
        XCTAssertTrue(terminal.isCooked)
        assertNoProcess(with: mark)
    }

    func testWatchChecksAgainAtEverySave() throws {
        let (copy, file, reference) = try copyAtServer()
        let terminal = try PseudoTerminal(
            Lab.executable, ["watch", "03", "uppercase-answers"], in: copy.root,
            environment: Lab.environment(["TERM": "xterm-256color", "NO_COLOR": "1"]), columns: 80, rows: 24)
        terminal.waitForText("○ 03 uppercase-answers", within: 180)
        terminal.waitForText("1 not started")
        try writeAtomically(reference, to: file)
        terminal.waitForText("── saved Exercises/03-udp/UppercaseServer.swift")
        terminal.waitForText("✔ 03 uppercase-answers", within: 20)
        try writeAtomically(reference, to: file)
        terminal.waitForText("✔ 03 uppercase-answers", times: 2, within: 20)
        terminal.press("\u{3}")
        XCTAssertEqual(terminal.ending(within: 20), 128 + SIGINT)
    }
}
