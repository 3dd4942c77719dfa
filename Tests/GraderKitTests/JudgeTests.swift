// What becomes of a check, whatever its body does.
import Course
import Foundation
import Sockets
import Wire
import XCTest

@testable import GraderKit

final class JudgeTests: XCTestCase {
    private let judge = Judge(seed: 42) { _ in Program(executable: "/nowhere", arguments: []) }

    override class func setUp() { Language.current = .english }

    func testStatusFollowsFromWhatTheCheckThrows() {
        func verdict(_ body: @escaping @Sendable (Trial) throws -> Void) -> Verdict {
            judge.judge(Check("check", body: body), of: "00-none", points: 3)
        }
        let passed = verdict { _ in }
        XCTAssertEqual(passed.status, .passed)
        XCTAssertEqual(passed.points, 3)
        XCTAssertNil(passed.report)
        XCTAssertNil(passed.output)

        let failed = verdict { _ in
            throw Failure(expected: "this", got: "that", difference: ["lines"], cause: "known", detail: "so")
        }
        XCTAssertEqual(failed.status, .failed)
        XCTAssertEqual(failed.report?.expected, "this")
        XCTAssertEqual(failed.report?.got, "that")
        XCTAssertEqual(failed.report?.difference, ["lines"])
        XCTAssertEqual(failed.report?.cause, "known")
        XCTAssertEqual(failed.report?.detail, "so")

        let skipped = verdict { _ in throw Unavailable("no such thing here") }
        XCTAssertEqual(skipped.status, .skipped)
        XCTAssertEqual(skipped.reason, "no such thing here")

        let unstarted = verdict { _ in throw NotStarted(place: Place(file: "A.swift", line: 3, step: "one")) }
        XCTAssertEqual(unstarted.status, .notStarted)
        XCTAssertEqual(unstarted.place, Place(file: "A.swift", line: 3, step: "one"))

        let confused = verdict { _ in throw SocketError("bind", EACCES) }
        XCTAssertEqual(confused.status, .labError)
        XCTAssertEqual(confused.reason, "bind: Permission denied (EACCES)")

        // A program that is not there is nobody's failure.
        let missing = verdict { _ = try $0.call("anything") }
        XCTAssertEqual(missing.status, .labError)
        XCTAssertTrue(missing.reason?.contains("/nowhere is not built") == true, missing.reason ?? "")
    }

    func testFolderIsEmptyAndRemoved() throws {
        nonisolated(unsafe) var folder = ""
        let verdict = judge.judge(
            Check("folder") { trial in
                folder = trial.folder
                try trial.expect(FileManager.default.contentsOfDirectory(atPath: folder).count, equals: 0, "files")
                try Data().write(to: URL(fileURLWithPath: folder + "/left"))
            }, of: "00-none")
        XCTAssertEqual(verdict.status, .passed)
        XCTAssertFalse(FileManager.default.fileExists(atPath: folder))
    }

    // MARK: Several at once

    /// The first check ends last, and is told last; what is returned is in the order of the checks.
    func testVerdictsAreReturnedInTheOrderOfTheChecks() {
        let ended = DispatchSemaphore(value: 0)
        var checks = [Check("0") { _ in for _ in 0..<3 { ended.wait() } }]
        for number in 1...3 {
            checks.append(Check("\(number)") { _ in })
        }
        var reported: [String] = []
        let verdicts = judge.judge(checks, of: "00-none", points: ["2": 5], width: 4) {
            reported.append($0.check)
            ended.signal()
        }
        XCTAssertEqual(reported.last, "0")
        XCTAssertEqual(reported.sorted(), ["0", "1", "2", "3"])
        XCTAssertEqual(verdicts.map(\.check), ["0", "1", "2", "3"])
        XCTAssertEqual(verdicts.map(\.points), [1, 1, 5, 1])
    }

    func testNotMoreThanWidthAtOnce() {
        let lock = NSLock()
        nonisolated(unsafe) var running = 0
        nonisolated(unsafe) var most = 0
        let checks = (0..<20).map { number in
            Check("\(number)") { _ in
                lock.withLock {
                    running += 1
                    most = max(most, running)
                }
                poll(nil, 0, 5)
                lock.withLock { running -= 1 }
            }
        }
        judge.judge(checks, of: "00-none", width: 3)
        XCTAssertEqual(most, 3)
    }

    func testNoChecks() { XCTAssertTrue(judge.judge([], of: "00-none").isEmpty) }

    // MARK: Seeds

    private func drawn(seed: UInt64, check: String) -> [UInt8] {
        nonisolated(unsafe) var bytes: [UInt8] = []
        let judge = Judge(seed: seed) { _ in Program(executable: "", arguments: []) }
        let verdict = judge.judge(Check(check) { bytes = $0.random.bytes(32) }, of: "00-none")
        XCTAssertEqual(verdict.seed, seed)
        return bytes
    }

    func testSeedReplaysACheck() {
        XCTAssertEqual(drawn(seed: 7, check: "one"), drawn(seed: 7, check: "one"))
        XCTAssertNotEqual(drawn(seed: 7, check: "one"), drawn(seed: 8, check: "one"))
        XCTAssertNotEqual(drawn(seed: 7, check: "one"), drawn(seed: 7, check: "two"))
    }

    func testSeedOfTheEnvironment() {
        XCTAssertEqual(Judge.seed(from: "12345"), 12_345)
        XCTAssertTrue((1..<1_000_000).contains(Judge.seed(from: nil)))
        XCTAssertTrue((1..<1_000_000).contains(Judge.seed(from: "not a number")))
        XCTAssertEqual(Judge.environmentSeed, Judge.environmentSeed)
    }

    /// The numbers of SplitMix64 as its author published them, and what is made of them.
    func testGenerator() {
        var random = SeededGenerator(seed: 1_234_567)
        XCTAssertEqual(
            (0..<5).map { _ in random.next() },
            [
                6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423,
                4_593_380_528_125_082_431, 16_408_922_859_458_223_821,
            ])
        XCTAssertEqual(random.bytes(100).count, 100)
        XCTAssertTrue(random.letters(1000).allSatisfy { (0x61...0x7a).contains($0) })
        XCTAssertEqual(Set(random.letters(1000)).count, 26)
    }

    func testUppercased() {
        XCTAssertEqual(uppercased(Array(0...255)).filter { (0x61...0x7a).contains($0) }, [])
        XCTAssertEqual(uppercased(Array("azAZ`{@[é".utf8)), Array("AZAZ`{@[é".utf8))
    }

    // MARK: Deadlines

    func testTimeScale() {
        XCTAssertEqual(Deadline.scale(from: nil), 1)
        XCTAssertEqual(Deadline.scale(from: "4"), 4)
        XCTAssertEqual(Deadline.scale(from: "0.5"), 0.5)
        for wrong in ["", "fast", "0", "-1", "nan"] { XCTAssertEqual(Deadline.scale(from: wrong), 1, wrong) }
        XCTAssertEqual(Deadline.scale(from: "inf"), 1000)
        XCTAssertEqual(Deadline.text(10, scale: 1), "10")
        XCTAssertEqual(Deadline.text(10, scale: 4), "40")
        XCTAssertEqual(Deadline.text(0.5, scale: 1), "0.5")
    }

    /// What a program could not use of its time is added, up to five times as much.
    func testAStarvedProgramHasMoreTime() {
        let deadline = Deadline(in: 2)
        let second: UInt64 = 1_000_000_000
        XCTAssertEqual(deadline.extended(by: 0).time, deadline.time)
        XCTAssertEqual(deadline.extended(by: 3 * second).time, deadline.time + 3 * second)
        let most = deadline.time + UInt64(10 * Deadline.scale) * second
        XCTAssertEqual(deadline.extended(by: .max).time, most)
        XCTAssertEqual(Deadline(at: 5).extended(by: second).time, 5)
    }

    /// Who sends little by little is not late; but not for ever.
    func testWhatComesRenewsTheWait() {
        let deadline = Deadline(in: 2)
        XCTAssertGreaterThan(deadline.renewed().time, deadline.time)
        XCTAssertLessThan(deadline.renewed().time, deadline.time + UInt64(10 * Deadline.scale * 1e9))
        let over = Deadline(in: 0)
        XCTAssertEqual(over.renewed().time, over.time)
        XCTAssertEqual(Deadline(at: 5).renewed().time, 5)
    }

    func testDeadline() {
        XCTAssertTrue(Deadline(in: 0).hasPassed)
        XCTAssertEqual(Deadline(at: 5).milliseconds, 0)
        XCTAssertFalse(Deadline().hasPassed)
        // Rounded up: a wait of what is left does not end before its time.
        XCTAssertEqual(Deadline(at: now() + 500_000).milliseconds, 1)
        XCTAssertEqual(Deadline(at: .max / 4).milliseconds, .max)
    }

    // MARK: Reports

    func testCrashPlace() {
        let backtrace = """
            *** Program crashed: Bad instruction at 0x00005555 ***

            0 [inlined] [system] Swift runtime failure: Index out of range in libswiftCore.so at <compiler-generated>
            1 [ra] send(_:) + 155 in Lesson04 at /home/me/lab/Exercises/04-tcp/SendAll.swift:31:9
            2 [ra] main + 20 in Lesson04 at /home/me/lab/Exercises/04-tcp/main.swift:12:5
            """
        XCTAssertEqual(
            crashPlace(in: backtrace), Place(file: "/home/me/lab/Exercises/04-tcp/SendAll.swift", line: 31))
        XCTAssertNil(crashPlace(in: "0 main in Lesson04 at /lab/Exercises/04-tcp/main.swift:12:5"))
        XCTAssertNil(crashPlace(in: "no backtrace"))
        XCTAssertEqual(crashPlace(in: "at /a b/Solutions/04-tcp/A.swift:7")?.line, 7)
    }

    func testSwiftsReportIsNotTheStudentsOutput() {
        XCTAssertEqual(printedByStudent("hello\n"), "hello\n")
        XCTAssertEqual(
            printedByStudent("hello\nLesson04/A.swift:3: Fatal error: Index out of range\n\n*** Signal 4: Backtracing"),
            "hello\n")
    }
}
