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
