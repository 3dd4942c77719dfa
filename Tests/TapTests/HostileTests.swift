// Programs that attack the lab. None passes, none hangs its grader, and none changes what is said of another.
import Course
import Foundation
import Sockets
import Wire
import XCTest

@testable import GraderKit

final class HostileTests: ProbeTestCase {
    /// Descriptors of the lab's are not the program's to close, replace, read or write, itself or through a library.
    func testLabsDescriptorsCannotBeReached() throws {
        for entry in ["close-everything", "close-range", "replace-everything"] {
            let (value, timeline) = try run(entry, .int(41))
            XCTAssertEqual(value, .int(42), entry)
            XCTAssertEqual(timeline.dropped, 0, entry)
            XCTAssertTrue(timeline.blocked.isEmpty, entry)
        }
        XCTAssertEqual(try run("write-everywhere", .string("forged")).value, .int(0))
        XCTAssertEqual(try run("read-everywhere").value, .int(0))
    }

    /// Nobody writes his own verdict into the grader's memory.
    func testParentsCannotBeTraced() throws {
        let value = try run("trace-parents").value
        XCTAssertEqual(value, .list([.int(Int(getpid()))]))
    }

    private func framed(_ reply: HostReply) throws -> [UInt8] {
        let body = try JSONEncoder().encode(reply)
        return withUnsafeBytes(of: UInt32(body.count).bigEndian) { Array($0) } + body
    }

    /// What it writes past the tap where only the host may write: no verdict, and nobody is signalled.
    func testForgedReplies() throws {
        let forged: [(name: String, bytes: [UInt8])] = [
            ("a verdict", Array(#"{"status":"passed","check":"probe","lesson":"00-probe"}"#.utf8)),
            ("a length without end", [0xff, 0xff, 0xff, 0xff]), ("zeros", [UInt8](repeating: 0, count: 4096)),
            ("no reply", try framed(.ready) + [0, 0, 0, 2] + Array("[]".utf8)),
        ]
        for (name, bytes) in forged {
            let verdict = judge { trial in
                _ = try trial.call("write-past-the-tap", .bytes(bytes))
            }
            XCTAssertEqual(verdict.status, .failed, "\(name): \(verdict)")
            XCTAssertTrue(verdict.report?.got.contains("the lab's own line") == true, verdict.report?.got ?? "")
        }
        // A todo() that is none makes it not started, not passed.
        let todo = try framed(.todo(file: "x", line: 1, step: ""))
        XCTAssertEqual(judge { _ = try $0.call("write-past-the-tap", .bytes(todo)) }.status, .notStarted)
    }

    func testTodoIsNotStarted() {
        let verdict = judge { _ = try $0.call("todo") }
        XCTAssertEqual(verdict.status, .notStarted)
        XCTAssertEqual(verdict.place?.step, "step 3: not yet")
        XCTAssertTrue(verdict.place?.file.hasSuffix("Hostile.swift") == true)
    }

    /// A check that only wants the connection closed does not pass a server that stopped at a todo().
    func testTodoIsNotTakenForAClosedConnection() {
        for _ in 0..<5 {
            let verdict = judge { trial in try trial.serve("todo-server").connect().expectEnd() }
            XCTAssertEqual(verdict.status, .notStarted)
        }
    }

    /// All of them at once, with honest checks between them.
    func testHostileProgramsChangeOnlyTheirOwnVerdicts() throws {
        let acts: [(entry: String, arguments: [Value])] = [
            ("exit", [.int(0)]), ("kill-everybody", []), ("kill-parent", [.int(Int(SIGKILL)), .bool(true)]),
            ("kill-parent", [.int(Int(SIGSTOP)), .bool(true)]), ("kill-parent-and-leave", []), ("fork-bomb", []),
            ("fork-bomb-setsid", []), ("fill-the-control-line", []), ("ignore-signals", []), ("spin", []),
            ("spin-in-calls", []), ("print-for-ever", []), ("write-everywhere", [.string("passed")]),
            ("become-leader", []), ("trace-parents", []), ("patch-the-tap", []), ("preload-in-children", []),
            ("crash-index", [.bytes([])]), ("close-everything", [.int(0)]),
        ]
        nonisolated(unsafe) var runs: [String] = []
        let lock = NSLock()
        var checks: [Check] = []
        for (index, act) in acts.enumerated() {
            checks.append(
                Check("hostile-\(act.entry)-\(index)") { trial in
                    let subject = try trial.launch()
                    lock.withLock { runs.append(subject.run) }
                    let value = try trial.begin(act.entry, act.arguments, in: subject).value(within: 0.7)
                    try trial.expect(value, equals: .string("the right answer"), "the answer")
                })
            checks.append(
                Check("honest-\(index)") { trial in
                    let stream = try trial.serve("echo").connect()
                    let datagrams = try trial.serve("datagram-echo").datagramClient()
                    for _ in 0..<5 {
                        let message = trial.random.bytes(100)
                        try stream.send(message)
                        try stream.expect(message)
                        try datagrams.send(message)
                        try datagrams.expect(message)
                    }
                })
        }
        let began = now()
        let verdicts = Judge(seed: 1) { _ in ProbeTestCase.probe }.judge(checks, of: "00-probe")
        for verdict in verdicts {
            let expected: Verdict.Status = verdict.check.hasPrefix("honest") ? .passed : .failed
            XCTAssertEqual(verdict.status, expected, "\(verdict.check): \(verdict)")
        }
        XCTAssertLessThan(Double(now() - began) / 1e9, 60)
        for run in runs { XCTAssertEqual(processes(ofRun: run), [], run) }
    }

    /// A datagram from anywhere is not the answer, and does not spoil it.
    func testStrangersDatagramIsPassedOver() {
        let verdict = judge { trial in
            let client = try trial.serve("datagram-echo").datagramClient()
            _ = try trial.call("spray", .int(Int(client.address.port)))
            try client.send("mine")
            try client.expect("mine")
        }
        XCTAssertEqual(verdict.status, .passed, "\(verdict)")
    }
}
