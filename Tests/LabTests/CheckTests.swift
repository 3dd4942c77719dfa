// `lab check` and `lab trace` with a compiler, graders and lesson processes: on the real package, or a copy of it.
import Course
import Foundation
import GraderKit
import LabCore
import Sockets
import XCTest

final class CheckTests: XCTestCase {
    private func events(_ output: String) throws -> [Event] {
        try output.split(separator: "\n").map { try Event(json: String($0)) }
    }

    // MARK: The reference, which needs no compiler

    func testTheReferencePasses() throws {
        let result = try Lab.run("check", "03", "uppercase-answers", "--solution", "--no-color", in: Lab.root)
        XCTAssertEqual(result.status, 0, result.output + result.errors)
        XCTAssertTrue(result.output.contains("✔ 03 uppercase-answers"), result.output)
        XCTAssertTrue(result.output.contains("1 passed"), result.output)
    }

    func testJSONIsOneObjectAVerdictThenASummary() throws {
        let result = try Lab.run(
            "check", "03", "uppercase-answers", "--solution", "--json", "--seed", "42", in: Lab.root)
        let events = try events(result.output)
        XCTAssertEqual(events.count, 2)
        guard case .verdict(let verdict)? = events.first, case .summary(let summary)? = events.last else {
            return XCTFail(result.output)
        }
        XCTAssertEqual(verdict.status, .passed)
        XCTAssertEqual(verdict.seed, 42)
        XCTAssertFalse(verdict.trace.isEmpty)
        XCTAssertEqual([summary.passed, summary.total], [1, 1])
        XCTAssertEqual(summary.seed, 42)
    }

    func testTraceShowsBothSides() throws {
        let result = try Lab.run("trace", "03", "uppercase-answers", "--solution", in: Lab.root)
        XCTAssertEqual(result.status, 0, result.errors)
        XCTAssertTrue(result.output.contains("grader"), result.output)
        XCTAssertTrue(result.output.contains("recvfrom("), result.output)
        XCTAssertTrue(result.output.contains("│"), result.output)
    }

    func testTheReferenceLeavesNoProgress() throws {
        let copy = try Lab.copy(self)
        _ = try Lab.run("check", "03", "uppercase-answers", "--solution", in: copy.root)
        XCTAssertFalse(FileManager.default.fileExists(atPath: ProgressFile(copy).file.path))
    }

    // MARK: A student's code, compiled

    func testFromStubToPassed() throws {
        let copy = try Lab.copy(self)
        let lesson = try copy.catalogue().find(lesson: "03")
        let exercise = try lesson.find(exercise: "uppercase-server")
        let file = copy.file(exercise, of: lesson)

        let stub = try Lab.run("check", "03", "uppercase-answers", in: copy.root)
        XCTAssertEqual(stub.status, 1, stub.errors)
        XCTAssertTrue(stub.output.contains("○ 03 uppercase-answers"), stub.output)
        XCTAssertTrue(stub.output.contains("not started  Exercises/03-udp/UppercaseServer.swift:"), stub.output)

        let reference = try String(contentsOf: copy.solution(exercise, of: lesson), encoding: .utf8)
        try writeAtomically(Data(reference.utf8), to: file)
        let passed = try Lab.run("check", "03", "uppercase-answers", in: copy.root)
        XCTAssertEqual(passed.status, 0, passed.output + passed.errors)
        XCTAssertEqual(ProgressFile(copy).read().progress.status("uppercase-answers", of: lesson), .passed)
        // The stub was kept before it was overwritten.
        guard case .restored(.kept, .some) = try Stubs(copy).reset(exercise, of: lesson) else {
            return XCTFail("no kept stub")
        }

        try writeAtomically(Data((reference + "\nlet broken: Int = \"text\"\n").utf8), to: file)
        let broken = try Lab.run("check", "03", "uppercase-answers", "--no-color", in: copy.root)
        XCTAssertEqual(broken.status, 1, broken.errors)
        let line = reference.split(separator: "\n", omittingEmptySubsequences: false).count + 1
        XCTAssertTrue(broken.output.contains("Exercises/03-udp/UppercaseServer.swift:\(line):19"), broken.output)
        XCTAssertTrue(broken.output.contains("cannot convert value of type 'String'"), broken.output)
        XCTAssertTrue(broken.output.contains("`lab check NN` works for every other lesson"), broken.output)

        let json = try events(try Lab.run("check", "03", "uppercase-answers", "--json", in: copy.root).output)
        guard case .broken("03-udp", let errors)? = json.first, case .summary(let summary)? = json.last else {
            return XCTFail("\(json)")
        }
        XCTAssertEqual(errors.first?.line, line)
        XCTAssertEqual(summary.broken, ["03-udp"])
        XCTAssertEqual(summary.exit, .notPassed)

        // Saved twice in one second, with a build between: the driver alone would not see the second save.
        let stubText = try String(contentsOf: Lab.root.appendingPathComponent(copy.relative(file)), encoding: .utf8)
        for text in [reference, stubText, reference] {
            try writeAtomically(Data(text.utf8), to: file)
            var times = [timeval(tv_sec: 1_700_000_000, tv_usec: text == reference ? 0 : 500_000)]
            times.append(times[0])
            // The driver's record is as old as the file, as if all of it happened then.
            XCTAssertEqual(utimes(file.path, times), 0)
            let result = try Lab.run("check", "03", "uppercase-answers", in: copy.root)
            XCTAssertEqual(result.status, text == reference ? 0 : 1, result.output + result.errors)
            let record = copy.root.appendingPathComponent(".build/debug/Lesson03.build/primary.priors").path
            XCTAssertEqual(
                utimes(
                    record, [timeval(tv_sec: 1_700_000_001, tv_usec: 0), timeval(tv_sec: 1_700_000_001, tv_usec: 0)]), 0
            )
        }

        // A file that comes or goes is SwiftPM's to notice.
        try writeAtomically(Data(reference.utf8), to: file)
        let more = file.deletingLastPathComponent().appendingPathComponent("More.swift")
        try writeAtomically(Data("let more: Int = nil\n".utf8), to: more)
        let added = try Lab.run("check", "03", "uppercase-answers", in: copy.root)
        XCTAssertTrue(added.output.contains("Exercises/03-udp/More.swift:1:17"), added.output)
        try FileManager.default.removeItem(at: more)
        XCTAssertEqual(try Lab.run("check", "03", "uppercase-answers", in: copy.root).status, 0)
    }

    func testTheLabsOwnErrorIsNotTheStudents() throws {
        let package = try Lab.miniature(self)
        try """
        // swift-tools-version: 6.0
        import PackageDescription
        let package = Package(
            name: "Miniature",
            targets: [
                .target(name: "Plumbing", path: "Sources/Plumbing"),
                .executableTarget(name: "Lesson04", dependencies: ["Plumbing"], path: "Exercises/04-tcp"),
            ])
        """.write(to: package.appendingPathComponent("Package.swift"), atomically: true, encoding: .utf8)
        let plumbing = package.appendingPathComponent("Sources/Plumbing/Plumbing.swift")
        try writeAtomically(Data("let constant: Int = \"text\"\n".utf8), to: plumbing)
        let result = try Lab.run("check", "04", in: package)
        XCTAssertEqual(result.status, 3, result.output)
        XCTAssertTrue(result.errors.contains("The lab's own code does not compile"), result.errors)
        XCTAssertTrue(result.errors.contains("Sources/Plumbing/Plumbing.swift:1:21"), result.errors)
        XCTAssertFalse(FileManager.default.fileExists(atPath: package.path + "/.lab/progress.json"))
    }

    func testAnInterruptLeavesNoProcessAndNoFolder() throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("lab-test-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        addTeardownBlock { try FileManager.default.removeItem(at: folder) }
        let stop = Stop()
        let environment = Lab.environment(["TMPDIR": folder.path])
        // When the first verdict is there, others are being judged.
        let result = try Subprocess.run(
            Lab.executable, ["check", "03", "--solution", "--json"], folder: Lab.root, environment: environment,
            stop: stop,
            line: { _ in if !stop.isStopped { stop.stop() } })
        XCTAssertEqual(result.status, 128 + SIGTERM)
        XCTAssertEqual(try FileManager.default.contentsOfDirectory(atPath: folder.path), [])
        assertNoProcess(with: "TMPDIR=\(folder.path)")
    }
}

/// All processes whose environment has this variable are gone, or will be at once. They are nobody's children here, so
/// there is nothing to wait on: the process table is looked at again.
func assertNoProcess(with variable: String, file: StaticString = #filePath, line: UInt = #line) {
    let deadline = Date(timeIntervalSinceNow: 10)
    while !processes(with: variable).isEmpty, Date() < deadline { usleep(20_000) }
    XCTAssertEqual(processes(with: variable), [], file: file, line: line)
}

/// The command lines of the processes whose environment has this variable (proc(5)).
func processes(with variable: String) -> [String] {
    let numbers = ((try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []).compactMap { Int32($0) }
    return numbers.compactMap { number in
        guard let environment = try? Data(contentsOf: URL(fileURLWithPath: "/proc/\(number)/environ")),
            environment.split(separator: 0).contains(where: { String(decoding: $0, as: UTF8.self).hasPrefix(variable) }
            ),
            let line = try? Data(contentsOf: URL(fileURLWithPath: "/proc/\(number)/cmdline"))
        else { return nil }
        let text = line.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }.joined(separator: " ")
        return text.isEmpty ? nil : text
    }
}
