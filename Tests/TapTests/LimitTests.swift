// What a program may take, and how it is told when it takes more.
import Course
import Foundation
import Sockets
import Wire
import XCTest

@testable import GraderKit

final class LimitTests: ProbeTestCase {
    private static let memory = 192 << 20

    private func ending(_ entry: String, _ arguments: Value..., memoryLimit: Int? = nil) throws -> Subject.Ending? {
        try withTrial { trial in
            let subject = try trial.launch(memoryLimit: memoryLimit)
            _ = try trial.begin(entry, arguments, in: subject)
            return subject.waitForEnding(until: Deadline())
        }
    }

    func testMemory() throws {
        let ending = try ending("allocate", memoryLimit: LimitTests.memory)
        XCTAssertEqual(ending?.limit, .memory)
        XCTAssertEqual(ending?.signal, SIGKILL)
    }

    func testMemoryOfChildrenCounts() throws {
        XCTAssertEqual(try ending("allocate-in-children", memoryLimit: LimitTests.memory)?.limit, .memory)
    }

    /// What forked processes share is there once, though each of them has it.
    func testSharedMemoryCountsOnce() throws {
        try withTrial { trial in
            let subject = try trial.launch(memoryLimit: LimitTests.memory)
            XCTAssertEqual(try trial.begin("shared-in-children", [.int(10)], in: subject).value(), .int(10))
        }
    }

    func testThreads() throws { XCTAssertEqual(try ending("threads-without-end")?.limit, .threads) }

    func testFileSize() throws { XCTAssertEqual(try ending("large-file")?.signal, SIGXFSZ) }

    func testDescriptors() throws {
        let few = try run("descriptors", .int(100), descriptorLimit: 20).value
        XCTAssertEqual(few, .list([.int(17), .int(3), .int(Int(EMFILE))]))
        // The lab's own two are among the 1,024.
        let all = try run("descriptors", .int(2000)).value
        XCTAssertEqual(all, .list([.int(1024 - 3 - 2), .int(3), .int(Int(EMFILE))]))
        let many = try run("descriptors", .int(2000), descriptorLimit: 4000).value
        XCTAssertEqual(many, .list([.int(2000), .int(3), .int(0)]))
    }

    /// A shell with `ulimit -n 256`, as on macOS.
    func testGraderWithFewDescriptors() throws {
        // The tests before this one ran in this process, and what they hold counts.
        let held = try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count
        try XCTSkipIf(held > 150, "this process has \(held) descriptors open already")
        var before = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &before)
        defer { setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &before) }
        var few = before
        few.rlim_cur = 256
        setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &few)
        XCTAssertEqual(descriptorTableSize(), 256)
        XCTAssertEqual(try run("close-everything", .int(1)).value, .int(2))
    }

    /// A grader that has very many open: its ends of the lines have the very numbers that the program's shall have.
    func testGraderWithManyDescriptors() throws {
        XCTAssertGreaterThan(mostDescriptors, 1100)
        var fillers: [Int32] = []
        defer { for descriptor in fillers { close(descriptor) } }
        // Two interruptions come first, with four; then the control line and the lifeline, with 1020 to 1023.
        repeat { fillers.append(try check("fcntl", fcntl(0, F_DUPFD_CLOEXEC, 3))) } while fillers.last != 1015
        XCTAssertEqual(try run("close-everything", .int(1)).value, .int(2))
    }

    func testChildren() throws {
        for way in ["fork", "spawn"] {
            let (value, timeline) = try run("children-at-once", .int(300), .string(way))
            XCTAssertEqual(value, .list([.int(256), .int(Int(EAGAIN))]), way)
            if way == "fork" {
                XCTAssertEqual(timeline.calls("fork").count, 257)
                XCTAssertEqual(timeline.calls("fork").filter(\.perturbed).map(\.error), [EAGAIN])
            }
        }
    }

    /// Only those that are there at once count.
    func testChildrenThatEndedDoNotCount() throws {
        let (value, _) = try run("repeat", .string("fork"), .int(400), .string("stream"))
        XCTAssertEqual(value, .list([Value](repeating: .int(1), count: 400)))
    }

    func testOutput() throws {
        let verdict = judge { trial in _ = try trial.call("print-for-ever") }
        XCTAssertEqual(verdict.status, .failed)
        XCTAssertEqual(verdict.report?.cause, "output-flood")
        XCTAssertEqual(verdict.report?.got, "your program was ended by SIGKILL")
        XCTAssertTrue(verdict.output?.hasPrefix("spam\n") == true)
        XCTAssertLessThan(verdict.output?.utf8.count ?? 0, 40_000)
    }

    /// Kept whole where it is short, and in its place: bytes that are no text included.
    func testWhatItPrints() {
        let verdict = judge { trial in _ = try trial.call("print", .string("多 \u{1b}[31m words")) }
        XCTAssertEqual(verdict.status, .passed)
        XCTAssertEqual(verdict.output, "多 \u{1b}[31m words\n")
    }

    func testEndings() throws {
        XCTAssertEqual(try ending("cpu-limit")?.signal, SIGXCPU)
        XCTAssertEqual(try ending("exit", .int(0))?.code, 0)
        XCTAssertEqual(try ending("exit", .int(9))?.code, 9)
        XCTAssertEqual(try ending("crash-abort")?.signal, SIGABRT)
    }

    /// Also once the process has ended, whoever ended it: a check may compare two moments.
    func testCPUTimeNeverGoesBack() throws {
        try withTrial { trial in
            let subject = try trial.launch()
            _ = try trial.begin("spin", [], in: subject)
            XCTAssertTrue(eventually { subject.cpuTime > 20_000_000 })
            let before = subject.cpuTime
            subject.signal(SIGKILL)
            XCTAssertGreaterThanOrEqual(subject.cpuTime, before)
            XCTAssertNotNil(subject.waitForEnding(until: Deadline()))
            let after = subject.cpuTime
            XCTAssertGreaterThanOrEqual(after, before)
            subject.stop()
            XCTAssertEqual(subject.cpuTime, after)
        }
    }

    func testLimitsAreNamed() {
        let causes: [(entry: String, memory: Int?, cause: String)] = [
            ("allocate", LimitTests.memory, "out-of-memory"), ("threads-without-end", nil, "too-many-threads"),
            ("cpu-limit", nil, "spinning"), ("large-file", nil, "file-too-large"),
        ]
        for (entry, memory, cause) in causes {
            let verdict = judge { trial in
                _ = try trial.begin(entry, [], in: try trial.launch(memoryLimit: memory)).value()
            }
            XCTAssertEqual(verdict.status, .failed, entry)
            XCTAssertEqual(verdict.report?.cause, cause, entry)
        }
    }
}
