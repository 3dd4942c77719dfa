import Course
import Foundation
import GraderKit
import LabCore
import XCTest

final class ProgressTests: XCTestCase {
    func testItIsKeptReadablyAndReadBack() throws {
        let workspace = try Fixtures.temporaryWorkspace(self)
        let file = ProgressFile(workspace)
        let time = Date(timeIntervalSince1970: 1_700_000_000)
        XCTAssertNil(try file.update { $0.record(try! Fixtures.verdict("passed"), at: time) })
        XCTAssertNil(try file.update { $0.record(try! Fixtures.verdict("blocked"), at: time) })
        let text = try String(contentsOf: file.file, encoding: .utf8)
        XCTAssertTrue(text.contains("\"version\" : 1"))
        XCTAssertTrue(text.contains("\"passed\" : \"2023-11-14T22:13:20Z\""), text)
        let reading = file.read()
        XCTAssertNil(reading.notice)
        let lesson = try workspace.catalogue().lessons[0]
        XCTAssertEqual(reading.progress.status("answers", of: lesson), .passed)
        XCTAssertEqual(reading.progress.status("two-clients", of: lesson), .failed)
        XCTAssertNil(reading.progress.status("send-short", of: lesson))
        XCTAssertEqual(reading.progress.points(lesson.checks, of: lesson), 2)
    }

    func testTheFirstPassIsRememberedAndTheLastRunCounts() throws {
        var progress = CourseProgress()
        var verdict = try Fixtures.verdict("passed")
        progress.record(verdict, at: Date(timeIntervalSince1970: 1))
        verdict.status = .failed
        progress.record(verdict, at: Date(timeIntervalSince1970: 2))
        let check = try XCTUnwrap(progress.lessons["04-tcp"]?.checks["answers"])
        XCTAssertEqual(check.status, .failed)
        XCTAssertEqual(check.runs, 2)
        XCTAssertEqual(check.passed, Date(timeIntervalSince1970: 1))
    }

    func testAMistakeThatStaysIsMetOnceAndOneThatComesBackAgain() throws {
        var progress = CourseProgress()
        let failed = try Fixtures.verdict("blocked")
        var passed = failed
        passed.status = .passed
        passed.report = nil
        var elsewhere = failed
        elsewhere.check = "answers"
        for verdict in [failed, failed, passed, failed, elsewhere] { progress.record(verdict, at: Date()) }
        XCTAssertEqual(progress.causes.count, 1)
        let met = try XCTUnwrap(progress.causes["blocked-in-recv"])
        XCTAssertEqual(met.times, 3)
        XCTAssertEqual([met.lesson, met.check], ["04-tcp", "answers"])
    }

    func testTimeAtWorkLeavesOutBreaks() throws {
        var progress = CourseProgress()
        let verdict = try Fixtures.verdict("passed")
        for second in [0.0, 60, 61, 7200, 7260] {
            progress.record(verdict, at: Date(timeIntervalSince1970: second))
        }
        XCTAssertEqual(progress.lessons["04-tcp"]?.seconds, 121)
        XCTAssertEqual(progress.lessons["04-tcp"]?.runs, 5)
    }

    func testWhatWasMetOftenIsToBeReadAgain() throws {
        let catalogue = try Fixtures.catalogue()
        var progress = CourseProgress()
        func lines() -> [String] {
            ListText(catalogue: catalogue, workspace: Fixtures.workspace, progress: progress, width: 80).memories()
                .map(\.plain)
        }
        XCTAssertEqual(lines(), [])
        var failed = try Fixtures.verdict("blocked")
        progress.record(failed, at: Date(timeIntervalSince1970: 0))
        XCTAssertEqual(lines(), ["", "04  checks run: 1, time at work: 0 min"])
        failed.check = "answers"
        progress.record(failed, at: Date(timeIntervalSince1970: 120))
        let text = lines().joined(separator: " ")
        XCTAssert(text.contains("04  checks run: 2, time at work: 2 min"), text)
        XCTAssert(text.contains("You have met blocked-in-recv 2 times"), text)
        XCTAssert(text.contains("lab show 04#a-server"), text)
    }

    func testAFileOfAnOlderLabIsTaken() throws {
        let workspace = try Fixtures.temporaryWorkspace(self)
        let file = ProgressFile(workspace)
        let old =
            #"{"version": 1, "lessons": {"04-tcp": {"hints": {"answers": 2}, "solutionAsked": {}, "checks": {"#
            + #""answers": {"status": "passed", "runs": 3, "last": "2023-11-14T22:13:20Z"}}}}}"#
        try writeAtomically(Data(old.utf8), to: file.file)
        let reading = file.read()
        XCTAssertNil(reading.notice)
        XCTAssertEqual(reading.progress.lessons["04-tcp"]?.runs, 3)
        XCTAssertEqual(reading.progress.lessons["04-tcp"]?.hints["answers"], 2)
    }

    func testHintsClimbALadder() {
        var progress = CourseProgress()
        XCTAssertEqual((1...4).map { _ in progress.nextHint("c", of: "04-tcp", count: 3) }, [1, 2, 3, 3])
    }

    func testTheCurrentExerciseGoesOnFromWhereTheStudentIs() throws {
        let catalogue = try Fixtures.catalogue()
        var progress = CourseProgress()
        XCTAssertEqual(progress.current(in: catalogue)?.exercise.id, "send-all")
        progress.here = "04-tcp/uppercase-server"
        XCTAssertEqual(progress.current(in: catalogue)?.exercise.id, "uppercase-server")
        for check in ["answers", "two-clients", "survives-reset"] {
            var verdict = try Fixtures.verdict("passed")
            verdict.check = check
            progress.record(verdict, at: Date())
        }
        // Passed: the next one; and after the last, those that were left out.
        XCTAssertEqual(progress.current(in: catalogue)?.exercise.id, "framed-server")
        var verdict = try Fixtures.verdict("skipped")
        progress.record(verdict, at: Date())
        XCTAssertEqual(progress.current(in: catalogue)?.exercise.id, "send-all")
        verdict = try Fixtures.verdict("passed")
        verdict.check = "send-short"
        progress.record(verdict, at: Date())
        XCTAssertNil(progress.current(in: catalogue))
    }

    func testAFileThatCannotBeUnderstoodIsKeptAsideAndSaid() throws {
        let workspace = try Fixtures.temporaryWorkspace(self)
        let file = ProgressFile(workspace)
        for (number, text) in ["{\"version\": 1, \"lessons\"", "{\"version\": 99, \"lessons\": {}}"].enumerated() {
            try writeAtomically(Data(text.utf8), to: file.file)
            let reading = file.read()
            XCTAssertEqual(reading.progress, CourseProgress())
            let kept = file.file.path + ".unreadable-\(number + 1)"
            XCTAssertTrue(reading.notice?.contains(kept) ?? false, reading.notice ?? "")
            XCTAssertEqual(try String(contentsOfFile: kept, encoding: .utf8), text)
            XCTAssertFalse(FileManager.default.fileExists(atPath: file.file.path))
        }
    }

    func testTwoLabsDoNotLoseEachOthersProgress() throws {
        let file = ProgressFile(try Fixtures.temporaryWorkspace(self))
        DispatchQueue.concurrentPerform(iterations: 20) { _ in
            do { try file.update { _ = $0.nextHint("c", of: "04-tcp", count: 1000) } } catch { XCTFail("\(error)") }
        }
        XCTAssertEqual(file.read().progress.lessons["04-tcp"]?.hints["c"], 20)
    }
}
