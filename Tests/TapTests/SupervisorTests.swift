// Whatever a program does and however its grader ends, nothing of it is left behind.
import Course
import Foundation
import Sockets
import Wire
import XCTest

@testable import GraderKit

final class SupervisorTests: ProbeTestCase {
    private static let ways = ["plain", "setsid", "double", "setsid-double"]

    private func numbers(_ value: Value) throws -> [Int32] {
        guard case .list(let values) = value else { throw LabError("not a list: \(value)") }
        return values.compactMap { if case .int(let number) = $0 { Int32(number) } else { nil } }
    }

    /// In the group or out of it, as children or adopted by the supervisor.
    func testDescendantsEndWithTheTrial() throws {
        for way in SupervisorTests.ways {
            let left = try withTrial { trial in
                let left = try numbers(try trial.call("leave-descendants", .string(way)))
                XCTAssertEqual(left.count, 4)
                XCTAssertTrue(left.dropFirst().allSatisfy(lives), "\(way): \(left)")
                return left
            }
            XCTAssertEqual(left.filter(lives), [], way)
        }
    }

    /// They also end with the program, before the grader asks.
    func testDescendantsEndWithTheProgram() throws {
        try withTrial { trial in
            let subject = try trial.launch()
            let left = try numbers(
                try trial.begin("leave-descendants", [.string("setsid-double")], in: subject).value())
            _ = try trial.begin("exit", [.int(3)], in: subject)
            let ending = subject.waitForEnding(until: Deadline())
            XCTAssertEqual(ending?.code, 3)
            XCTAssertEqual(left.filter(lives), [])
        }
    }

    /// Killed at once, the grader cannot end anything: the supervisors do.
    func testNothingOutlivesAKilledGrader() throws {
        for way in SupervisorTests.ways {
            let grader = Process()
            grader.executableURL = URL(fileURLWithPath: ProbeTestCase.probe.executable)
            grader.arguments = ["grade", way]
            let pipe = Pipe()
            grader.standardOutput = pipe
            try grader.run()
            let line = String(decoding: pipe.fileHandleForReading.availableData, as: UTF8.self)
            let numbers = line.split(whereSeparator: \.isWhitespace).compactMap { Int32($0) }
            XCTAssertEqual(numbers.count, 5, line)
            XCTAssertTrue(numbers.dropFirst().allSatisfy(lives), line)
            kill(grader.processIdentifier, SIGKILL)
            grader.waitUntilExit()
            XCTAssertTrue(eventually { !numbers.contains(where: lives) }, "\(way): \(numbers.filter(lives))")
        }
    }

    /// The program cannot reach its supervisor by the calls that it knows.
    func testProgramMayNotSignalItsParents() throws {
        for number in [SIGKILL, SIGSTOP] {
            XCTAssertEqual(try run("kill-parent", .int(Int(number)), .bool(false)).value, .int(Int(EPERM)))
        }
        let (value, timeline) = try run("kill-everybody")
        XCTAssertEqual(value, .int(Int(EPERM)))
        XCTAssertEqual(timeline.transcript, ["kill(-1, SIGKILL) = -1 EPERM   [made by the lab]"])
    }

    /// By other ways it can. Then the kernel ends the program, and the grader what that has left behind.
    func testKilledSupervisorLeavesNothing() throws {
        var left: [Int32] = []
        let verdict = try withTrial { trial -> Subject.Ending? in
            let subject = try trial.launch()
            _ = try trial.begin("kill-parent-and-leave", [], in: subject)
            let ending = subject.waitForEnding(until: Deadline())
            left = subject.output.text.split { !$0.isNumber }.compactMap { Int32($0) }
            XCTAssertEqual(left.count, 4, subject.output.text)
            let process = subject.processNumber
            XCTAssertTrue(eventually { !lives(process) }, "the kernel did not end it")
            XCTAssertTrue(left.dropFirst().allSatisfy(lives))
            return ending
        }
        XCTAssertEqual(verdict?.signal, SIGKILL)
        XCTAssertEqual(left.filter(lives), [])
    }

    func testStoppedSupervisorIsContinued() throws {
        let began = now()
        try withTrial { trial in
            let subject = try trial.launch()
            XCTAssertEqual(
                try trial.begin("kill-parent", [.int(Int(SIGSTOP)), .bool(true)], in: subject).value(), .int(0))
            _ = try trial.begin("hang", [], in: subject)
        }
        XCTAssertLessThan(Double(now() - began) / 1e9, 4, "it was waited for in vain")
    }

    func testProgramThatLeavesItsGroup() throws {
        let left = try withTrial { trial in
            let numbers = try numbers(try trial.call("become-leader"))
            XCTAssertEqual(numbers[0], numbers[1], "it did not leave its group")
            return numbers
        }
        XCTAssertEqual(left.filter(lives), [])
    }

    /// As at a terminal: no signal ignored or blocked, whatever the grader ignores or blocks. In a group of its own.
    func testSignalsAreAtTheirDefaults() throws {
        let handlers = [SIGPIPE, SIGHUP, SIGCHLD].map { ($0, signal($0, SIG_IGN)) }
        var blocked = sigset_t()
        sigemptyset(&blocked)
        sigaddset(&blocked, SIGUSR2)
        sigaddset(&blocked, SIGTERM)
        var before = sigset_t()
        pthread_sigmask(SIG_BLOCK, &blocked, &before)
        defer {
            for (number, handler) in handlers { signal(number, handler) }
            // Ignored, it would take the exit codes of all children away from the tests that follow.
            signal(SIGCHLD, SIG_DFL)
            pthread_sigmask(SIG_SETMASK, &before, nil)
        }
        guard case .list(let values) = try run("signals").value else { return XCTFail("no list") }
        XCTAssertEqual(values[0], .list([]))
        XCTAssertEqual(values[1], values[2])
    }

    /// A program that hosts no contract has no supervisor, and does not answer: it is ended all the same.
    func testProgramThatIsNoLessonProcess() throws {
        let sleeper = Program(executable: "/bin/sleep", arguments: ["1000"])
        nonisolated(unsafe) var process: Int32 = -1
        let verdict = Judge(seed: 1) { _ in sleeper }.judge(
            Check("sleeps") { trial in
                let call = try trial.begin("anything", [])
                // It has begun, and may not have the environment yet that it is known by.
                let deadline = Deadline()
                while process < 0, !deadline.hasPassed { process = processes(ofRun: call.subject.run).first ?? -1 }
                _ = try call.value(within: 0.1)
            }, of: "00-none")
        XCTAssertEqual(verdict.status, .failed)
        XCTAssertGreaterThan(process, 0)
        XCTAssertFalse(lives(process))
    }

    /// A child that comes back from the function ends; its parent answers.
    func testChildThatComesBackEnds() throws {
        XCTAssertEqual(try run("child-returns").value, .int(0))
    }

    func testProgramsThatItStartsInheritNothingOfTheLab() throws {
        let inherited = try run("spawn-inherits", .string("/nowhere.so")).value
        // Its own three, and the folder that ls reads.
        XCTAssertEqual(inherited, .string("0\n1\n2\n3\n"))
    }
}
