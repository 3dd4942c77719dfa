import Course
import Foundation
import GraderKit
import LabCore
import XCTest

final class WorkspaceTests: XCTestCase {
    func testItIsFoundFromInsideFromTheExecutableAndByTheVariable() throws {
        let root = Fixtures.workspace.root.path
        let elsewhere = try Fixtures.temporaryFolder(self).path
        XCTAssertEqual(try Workspace.find(from: root + "/Lessons/04-tcp", executable: nil, home: nil).root.path, root)
        XCTAssertEqual(
            try Workspace.find(from: elsewhere, executable: root + "/.build/debug/lab", home: nil).root.path, root)
        XCTAssertEqual(try Workspace.find(from: elsewhere, executable: nil, home: root).root.path, root)
        for home in [nil, "", elsewhere] {
            XCTAssertThrowsError(try Workspace.find(from: elsewhere, executable: nil, home: home)) { error in
                XCTAssertEqual((error as? CommandError)?.exit, .usage)
            }
        }
    }

    func testPathsAreShownFromTheRoot() {
        let workspace = Fixtures.workspace
        XCTAssertEqual(workspace.relative(workspace.root.path + "/Exercises/x.swift"), "Exercises/x.swift")
        XCTAssertEqual(workspace.relative("/elsewhere/x.swift"), "/elsewhere/x.swift")
    }

    func testTheTextFallsBackToEnglish() throws {
        let catalogue = try Fixtures.catalogue()
        let workspace = Fixtures.workspace
        XCTAssertTrue(workspace.text(of: catalogue.lessons[0], in: .chinese).path.hasSuffix("README.zh-Hans.md"))
        XCTAssertTrue(workspace.text(of: catalogue.lessons[1], in: .chinese).path.hasSuffix("README.md"))
    }

    func testAtomicWriteReplacesWholeAndLeavesNothingBeside() throws {
        let folder = try Fixtures.temporaryFolder(self).appendingPathComponent("new/deep")
        let file = folder.appendingPathComponent("file")
        try writeAtomically(Data("one".utf8), to: file)
        try writeAtomically(Data("two".utf8), to: file)
        XCTAssertEqual(try String(contentsOf: file, encoding: .utf8), "two")
        XCTAssertEqual(try FileManager.default.contentsOfDirectory(atPath: folder.path), ["file"])
        XCTAssertThrowsError(try writeAtomically(Data(), to: URL(fileURLWithPath: "/proc/no/such/file"))) { error in
            XCTAssertEqual((error as? CommandError)?.exit, .failure)
        }
    }

    // MARK: Stubs

    func testResetRestoresTheStubAndKeepsMine() throws {
        let workspace = try Fixtures.temporaryWorkspace(self)
        let lesson = try workspace.catalogue().lessons[0]
        let exercise = lesson.exercises[0]
        let file = workspace.file(exercise, of: lesson)
        let stub = try String(contentsOf: file, encoding: .utf8)
        Stubs(workspace).keep(lesson)

        for number in 1...2 {
            try "mine \(number)".write(to: file, atomically: true, encoding: .utf8)
            guard case .restored(.kept, let kept?) = try Stubs(workspace).reset(exercise, of: lesson) else {
                return XCTFail("not restored")
            }
            XCTAssertEqual(kept.lastPathComponent, "SendAll.swift.mine-\(number)")
            XCTAssertEqual(try String(contentsOf: kept, encoding: .utf8), "mine \(number)")
            XCTAssertEqual(try String(contentsOf: file, encoding: .utf8), stub)
        }
        guard case .wasStub = try Stubs(workspace).reset(exercise, of: lesson) else { return XCTFail("changed") }
        try FileManager.default.removeItem(at: file)
        guard case .restored(.kept, nil) = try Stubs(workspace).reset(exercise, of: lesson) else {
            return XCTFail("not restored")
        }
        XCTAssertEqual(try String(contentsOf: file, encoding: .utf8), stub)
    }

    func testAFileWithoutTodoIsNotKeptAsAStub() throws {
        let workspace = try Fixtures.temporaryWorkspace(self)
        let lesson = try workspace.catalogue().lessons[0]
        let file = workspace.file(lesson.exercises[0], of: lesson)
        try "func done() {}".write(to: file, atomically: true, encoding: .utf8)
        Stubs(workspace).keep(lesson)
        XCTAssertThrowsError(try Stubs(workspace).reset(lesson.exercises[0], of: lesson)) { error in
            XCTAssertEqual((error as? CommandError)?.exit, .failure)
        }
        XCTAssertEqual(try String(contentsOf: file, encoding: .utf8), "func done() {}")
    }

    func testResetFindsTheStubInGitEvenAfterTheStudentCommitted() throws {
        let workspace = try Fixtures.temporaryWorkspace(self)
        let lesson = try workspace.catalogue().lessons[0]
        let exercise = lesson.exercises[0]
        let file = workspace.file(exercise, of: lesson)
        let stub = try String(contentsOf: file, encoding: .utf8)
        func git(_ arguments: String...) throws {
            let all = ["-C", workspace.root.path, "-c", "user.name=t", "-c", "user.email=t@example.org"] + arguments
            let result = try Subprocess.run("git", all)
            XCTAssertTrue(result.succeeded, result.errors)
        }
        try git("init", "-q")
        try git("add", "-A")
        try git("commit", "-qm", "start")
        try "my first".write(to: file, atomically: true, encoding: .utf8)
        guard case .restored(.head, .some) = try Stubs(workspace).reset(exercise, of: lesson) else {
            return XCTFail("not from HEAD")
        }
        try "my second".write(to: file, atomically: true, encoding: .utf8)
        try git("commit", "-qam", "mine")
        guard case .restored(.firstCommit, .some) = try Stubs(workspace).reset(exercise, of: lesson) else {
            return XCTFail("not from the first commit")
        }
        XCTAssertEqual(try String(contentsOf: file, encoding: .utf8), stub)
    }
}

final class SubprocessTests: XCTestCase {
    func testOutputErrorsAndStatus() throws {
        let result = try Subprocess.run("sh", ["-c", "echo out; echo err >&2; exit 3"])
        XCTAssertEqual([result.output, result.errors], ["out\n", "err\n"])
        XCTAssertEqual(result.status, 3)
        XCTAssertEqual(try Subprocess.run("sh", ["-c", "kill -9 $$"]).status, 128 + 9)
        XCTAssertEqual(try Subprocess.run("pwd", [], folder: URL(fileURLWithPath: "/usr")).output, "/usr\n")
        XCTAssertEqual(
            try Subprocess.run("env", [], environment: ["PATH": "/bin", "A": "b"]).output.contains("A=b"), true)
    }

    func testMuchOutputOnBothPipesDoesNotBlock() throws {
        let script =
            "i=0; while [ $i -lt 2000 ]; do echo 0123456789012345678901234567890123456789012345678901234567; "
            + "echo 0123456789012345678901234567890123456789012345678901234567 >&2; i=$((i+1)); done"
        var lines = 0
        let result = try Subprocess.run("sh", ["-c", script], line: { _ in lines += 1 })
        XCTAssertEqual(lines, 2000)
        XCTAssertEqual(result.errors.count, 2000 * 59)
    }

    func testAMissingProgramIsSaid() {
        XCTAssertThrowsError(try Subprocess.run("no-such-program-here", [])) { error in
            XCTAssertEqual((error as? CommandError)?.exit, .failure)
        }
    }

    func testStopEndsTheWholeGroup() throws {
        let stop = Stop()
        let started = DispatchSemaphore(value: 0)
        Thread.detachNewThread {
            started.wait()
            stop.stop()
        }
        // The shell's own child must go, too: it holds the pipe open.
        let result = try Subprocess.run(
            "sh", ["-c", "echo up; sleep 1000"], stop: stop, line: { _ in started.signal() })
        XCTAssertEqual(result.status, 128 + SIGTERM)
    }
}
