// A crash is told with its reason and the student's own line.
import Course
import Foundation
import Sockets
import Wire
import XCTest

@testable import GraderKit

final class CrashTests: ProbeTestCase {
    /// The number of the only line of the probe's crashes that holds this text.
    private func line(with text: String) throws -> Int {
        let file = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .appendingPathComponent("../TapProbe/Exercises/Crash.swift")
        let lines = try String(contentsOf: file, encoding: .utf8).components(separatedBy: "\n")
        let found = lines.indices.filter { lines[$0].contains(text) }
        XCTAssertEqual(found.count, 1, text)
        return (found.first ?? -1) + 1
    }

    private func assertCrash(
        _ entry: String, _ arguments: Value..., cause: String, at text: String?, file: StaticString = #filePath,
        line: UInt = #line
    ) throws {
        let verdict = judge { trial in _ = try trial.begin(entry, arguments).value() }
        XCTAssertEqual(verdict.status, .failed, entry, file: file, line: line)
        XCTAssertEqual(verdict.report?.cause, cause, entry, file: file, line: line)
        guard let text else { return XCTAssertNil(verdict.report?.crash, entry, file: file, line: line) }
        XCTAssertEqual(verdict.report?.crash?.line, try self.line(with: text), entry, file: file, line: line)
        XCTAssertTrue(verdict.report?.crash?.file.hasSuffix("Crash.swift") == true, entry, file: file, line: line)
        XCTAssertEqual(
            verdict.output ?? "", "", "Swift's own report is not the student's output", file: file, line: line)
    }

    func testCrashes() throws {
        try assertCrash("crash-index", .bytes([1]), cause: "index-out-of-range", at: "bytes[3]")
        try assertCrash("crash-overflow", .unsigned(255), cause: "arithmetic-overflow", at: "number + 1")
        try assertCrash("crash-negative", .int(-1), cause: "arithmetic-overflow", at: "UInt64(try $0.int(0))")
        try assertCrash("crash-narrow", .int(256), cause: "arithmetic-overflow", at: "UInt8(try $0.int(0))")
        try assertCrash(
            "crash-misaligned", .bytes([1, 2, 3, 4, 5, 6]), cause: "misaligned-load", at: "fromByteOffset: 1")
        try assertCrash("crash-nil", .list([]), cause: "crash", at: "return none!")
        try assertCrash("crash-segment", cause: "crash", at: "bitPattern: 16")
        try assertCrash("crash-in-a-thread", .bytes([1]), cause: "index-out-of-range", at: "bytes[5]")
        // A signal that is no crash: there is no line to show.
        try assertCrash("crash-sigpipe", cause: "sigpipe", at: nil)
    }

    /// Where it stood is not always known: Swift's backtrace may not find its way out of libc.
    func testAbort() {
        let verdict = judge { _ = try $0.call("crash-abort") }
        XCTAssertEqual(verdict.report?.cause, "crash")
        XCTAssertEqual(verdict.report?.got, "your program was ended by SIGABRT")
    }

    /// The connection is seen to close before the process is seen to end: it is still called a crash.
    func testServerThatCrashes() throws {
        let verdict = judge { trial in
            let client = try trial.serve("crash-after-accept").connect()
            try client.send("x")
            try client.expect("X")
        }
        XCTAssertEqual(verdict.status, .failed)
        XCTAssertEqual(verdict.report?.cause, "index-out-of-range")
        XCTAssertEqual(verdict.report?.crash?.line, try line(with: "count + 10"))
    }
}
