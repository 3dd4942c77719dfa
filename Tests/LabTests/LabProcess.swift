// `lab` as its users meet it: a process with arguments, a folder and an environment, which prints and ends.
import Foundation
import GraderKit
import LabCore
import Sockets
import XCTest

enum Lab {
    nonisolated(unsafe) private static var lock: Int32?

    /// Built with the tests, beside them.
    static let executable = Program.products.appendingPathComponent("lab").path

    /// The package that these tests are a part of.
    static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    /// The package in miniature.
    static let fixture = root.appendingPathComponent("Tests/Fixtures/package")

    /// A copy of the miniature, to be changed.
    static func miniature(_ test: XCTestCase) throws -> URL {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("lab-test-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        test.addTeardownBlock { try FileManager.default.removeItem(at: folder) }
        let copy = folder.appendingPathComponent("package")
        try FileManager.default.copyItem(at: fixture, to: copy)
        return copy
    }

    /// The whole package with build products of its own, which stay from one run of the tests to the next: what a student
    /// edits in it is compiled for real. Its exercises are the stubs again. One test has it at a time, `--parallel` or not.
    static func copy(_ test: XCTestCase) throws -> Workspace {
        if lock == nil {
            let descriptor = open(
                root.appendingPathComponent(".build/lab-tests.lock").path, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
            try check("open", descriptor)
            try check("flock", flock(descriptor, LOCK_EX))
            lock = descriptor
            test.addTeardownBlock {
                close(descriptor)
                lock = nil
            }
        }
        let copy = try Workspace(root: root).copy(to: root.appendingPathComponent(".build/lab-tests"))
        for leftover in [
            copy.state.appendingPathComponent("progress.json"), copy.state.appendingPathComponent("stubs"),
        ]
        where FileManager.default.fileExists(atPath: leftover.path) {
            // Moved away first: a walk that was just ended may still be keeping a stub there.
            let away = copy.state.appendingPathComponent("leftover-\(UUID().uuidString)")
            try FileManager.default.moveItem(at: leftover, to: away)
            test.addTeardownBlock { try FileManager.default.removeItem(at: away) }
        }
        return copy
    }

    static func environment(_ more: [String: String] = [:]) -> [String: String] {
        var environment = ProcessInfo.processInfo.environment
        for name in [
            "NO_COLOR", "LAB_LANG", "LC_ALL", "LC_MESSAGES", "LAB_SEED", "LAB_SUBJECT", "PAGER", "EDITOR", "VISUAL",
        ] {
            environment[name] = nil
        }
        environment["LANG"] = "C.UTF-8"
        environment["LAB_HOME"] = nil
        return environment.merging(more) { _, new in new }
    }

    /// Runs it to its end.
    static func run(
        _ arguments: String..., in folder: URL = fixture, environment more: [String: String] = [:]
    ) throws -> Subprocess.Result {
        try Subprocess.run(executable, arguments, folder: folder, environment: environment(more))
    }
}
