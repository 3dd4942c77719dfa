import Course
import GraderKit
import LabCore
import XCTest

final class ReportTests: XCTestCase {
    private let names = ["passed", "blocked", "bytes", "crash", "not-started", "skipped", "lab-error"]

    func testVerdictsInBothLanguages() throws {
        let catalogue = try Fixtures.catalogue()
        try inEachLanguage { language in
            let text = VerdictText(catalogue: catalogue, workspace: Fixtures.workspace)
            let lines = try names.flatMap { try text.lines(Fixtures.verdict($0), namesWidth: 14) + [StyledText()] }
            try assertGolden(lines, "verdicts.\(language.rawValue)")
        }
    }

    func testVerdictsOnANarrowTerminal() throws {
        let catalogue = try Fixtures.catalogue()
        try inEachLanguage { language in
            let text = VerdictText(catalogue: catalogue, workspace: Fixtures.workspace, width: 40)
            let lines = try names.flatMap { try text.lines(Fixtures.verdict($0)) + [StyledText()] }
            try assertGolden(lines, "verdicts-narrow.\(language.rawValue)", width: 40)
        }
    }

    func testVerdictOfTheReference() throws {
        let text = VerdictText(catalogue: try Fixtures.catalogue(), workspace: Fixtures.workspace, reference: true)
        let shown = text.lines(try Fixtures.verdict("blocked")).map(\.plain).joined(separator: "\n")
        XCTAssertTrue(shown.contains("reference  accept") || shown.contains("reference  socket"), shown)
        XCTAssertFalse(shown.contains("your server"), shown)
    }

    func testAVerdictOfAnUnknownCheckIsStillShown() throws {
        var verdict = try Fixtures.verdict("blocked")
        verdict.check = "unknown"
        verdict.lesson = "99-unknown"
        let text = VerdictText(catalogue: try Fixtures.catalogue(), workspace: Fixtures.workspace)
        XCTAssertTrue(text.lines(verdict)[0].plain.hasPrefix("✘ 99 unknown"))
    }

    func testARunIsShownInTheOrderOfTheCatalogue() throws {
        let catalogue = try Fixtures.catalogue()
        let lesson = try XCTUnwrap(catalogue.lesson("04"))
        var run = RunText(
            Selection(lesson: lesson, checks: lesson.checks),
            VerdictText(catalogue: catalogue, workspace: Fixtures.workspace))
        var first = try Fixtures.verdict("passed")
        XCTAssertEqual(run.add(try Fixtures.verdict("blocked")), [])
        XCTAssertEqual(run.add(first), [])
        first.check = "send-short"
        // The first check releases those that waited for it.
        let lines = run.add(first).map(\.plain)
        XCTAssertEqual(
            lines.filter { $0.dropFirst().hasPrefix(" 04 ") }.map { String($0.prefix(16)) },
            [
                "✔ 04 send-short ", "✔ 04 answers    ", "✘ 04 two-clients",
            ])
        XCTAssertTrue(lines.contains("uppercase-server   Exercises/04-tcp/UppercaseServer.swift"))
    }

    func testTraceInBothLanguages() throws {
        let trace = try Fixtures.verdict("blocked").trace
        try inEachLanguage { language in
            let text = TraceText(width: 80, program: say("your server", "你的服务器"))
            try assertGolden(text.lines(trace), "trace.\(language.rawValue)")
        }
    }

    func testABrokenBuildInBothLanguages() throws {
        let errors = Diagnostic.parse(try Fixtures.text("verdicts/build.txt")).filter { $0.severity == .error }
        let lesson = try XCTUnwrap(try Fixtures.catalogue().lesson("04"))
        try inEachLanguage { language in
            let text = BuildText(workspace: Fixtures.workspace, width: 80)
            try assertGolden(text.lines(errors, in: lesson), "build.\(language.rawValue)")
        }
    }

    func testDiagnosticsAreTakenOnceWithTheirExcerpt() throws {
        let found = Diagnostic.parse(try Fixtures.text("verdicts/build.txt"))
        XCTAssertEqual(found.map(\.line), [14, 15, 14])
        XCTAssertEqual(found.map(\.severity), [.error, .error, .warning])
        XCTAssertEqual(found[0].message, "cannot find 'foo' in scope")
        XCTAssertEqual(found[0].column, 13)
        XCTAssertEqual(found[0].excerpt.count, 6)
        XCTAssertEqual(Diagnostic.parse("error: no such module\n/not a place: error: x"), [])
    }

    func testHintsInBothLanguages() throws {
        let lesson = try XCTUnwrap(try Fixtures.catalogue().lesson("04"))
        let check = try lesson.find(check: "two-clients")
        try inEachLanguage { language in
            let text = HintText(lesson: lesson, check: check, width: 80)
            let lines = [1, 2, 3].flatMap { text.lines(shown: $0) + [StyledText()] }
            try assertGolden(lines, "hints.\(language.rawValue)")
        }
    }

    func testListsInBothLanguages() throws {
        let catalogue = try Fixtures.catalogue()
        let lesson = try XCTUnwrap(catalogue.lesson("04"))
        var progress = CourseProgress()
        for name in ["passed", "blocked"] { progress.record(try Fixtures.verdict(name), at: Date()) }
        try inEachLanguage { language in
            let text = ListText(catalogue: catalogue, workspace: Fixtures.workspace, progress: progress, width: 80)
            try assertGolden(text.overview() + [StyledText()] + text.lesson(lesson), "lists.\(language.rawValue)")
            let narrow = ListText(catalogue: catalogue, workspace: Fixtures.workspace, progress: progress, width: 40)
            try assertGolden(narrow.overview() + narrow.lesson(lesson), "lists-narrow.\(language.rawValue)", width: 40)
        }
    }

    func testTheBarIsFullOnlyWhenAllIsDone() {
        XCTAssertEqual(ListText.bar(0, 10, 10).plain, "──────────")
        XCTAssertEqual(ListText.bar(1, 100, 10).plain, "━─────────")
        XCTAssertEqual(ListText.bar(99, 100, 10).plain, "━━━━━━━━━─")
        XCTAssertEqual(ListText.bar(100, 100, 10).plain, "━━━━━━━━━━")
        XCTAssertEqual(ListText.bar(0, 0, 10).plain, "──────────")
    }

    func testSummariesDecideTheExitCode() throws {
        func summary(_ names: String...) throws -> Summary {
            var summary = Summary(seed: 7)
            for name in names { summary.count(try Fixtures.verdict(name), of: nil) }
            return summary
        }
        XCTAssertEqual(try summary("passed").exit, .success)
        XCTAssertEqual(try summary("passed", "skipped").exit, .success)
        XCTAssertEqual(try summary("passed", "not-started").exit, .notPassed)
        XCTAssertEqual(try summary("passed", "blocked").exit, .notPassed)
        XCTAssertEqual(try summary("blocked", "lab-error").exit, .failure)
        var broken = try summary("passed")
        broken.broken = ["04-tcp"]
        XCTAssertEqual(broken.exit, .notPassed)
        let all = try summary("passed", "blocked", "not-started", "skipped")
        XCTAssertEqual([all.points, all.of, all.total], [2, 5, 4])
    }

    func testEventsSurviveJSON() throws {
        let verdict = try Fixtures.verdict("blocked")
        let line = try Event.verdict(verdict).json()
        XCTAssertFalse(line.contains("\n"))
        XCTAssertTrue(line.contains("\"event\":\"verdict\""))
        guard case .verdict(let again) = try Event(json: line) else { return XCTFail(line) }
        XCTAssertEqual(again.report?.cause, "blocked-in-recv")
        XCTAssertEqual(again.trace.count, verdict.trace.count)

        let diagnostics = Diagnostic.parse(try Fixtures.text("verdicts/build.txt"))
        guard case .broken("04-tcp", let found) = try Event(json: Event.broken(lesson: "04-tcp", diagnostics).json())
        else { return XCTFail("broken") }
        XCTAssertEqual(found, diagnostics)

        var summary = Summary(seed: 7)
        summary.count(verdict, of: nil)
        guard case .summary(summary) = try Event(json: Event.summary(summary).json()) else { return XCTFail("summary") }
        XCTAssertThrowsError(try Event(json: "{\"event\":\"other\"}"))
    }

    func testDifferenceIsADiff() {
        let old = "a\nb\nc\nd\ne\nf\ng\nh\n"
        let new = "a\nb\nC\nd\ne\nf\ng\nh\ni\n"
        let text = LineDifference(from: old, to: new).text(old: "mine", new: "theirs", context: 1).map(\.plain)
        XCTAssertEqual(
            text,
            [
                "--- mine", "+++ theirs", "@@ -2 +2 @@", " b", "-c", "+C", " d", "@@ -8 +8 @@", " h", "+i", " ",
            ])
        XCTAssertTrue(LineDifference(from: old, to: old).isEmpty)
        XCTAssertFalse(LineDifference(from: old, to: new).isEmpty)
    }
}
