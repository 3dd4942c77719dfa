// A program that makes more calls than anybody can read.
import Course
import Sockets
import Wire
import XCTest

@testable import GraderKit

final class FloodTests: ProbeTestCase {
    /// While its grader does not read, the pipe fills: the program is not held up, and what is lost is counted.
    func testFullPipeDropsRecordsAndCounts() throws {
        try withTrial { trial in
            let subject = try trial.launch()
            let call = try trial.begin("spin-in-calls-for", [.int(500)], in: subject)
            // The timeline is shown under the reader's lock: it reads nothing meanwhile.
            _ = try subject.waitForTimeline { timeline -> Bool? in
                guard timeline.count("recv") > 0 else { return nil }
                poll(nil, 0, 200)
                return true
            }
            guard case .int(let made) = try call.value() else { return XCTFail("no number") }
            let timeline = subject.timeline
            XCTAssertGreaterThan(made, 20_000, "the program was held up")
            XCTAssertGreaterThan(timeline.dropped, 1000)
            XCTAssertLessThan(timeline.count("recv"), made)
            XCTAssertLessThanOrEqual(timeline.calls.count, 30_000)
            // Calls whose return was lost are not taken for blocked ones.
            XCTAssertLessThanOrEqual(timeline.blocked.count, 1)
        }
    }

    /// Millions of calls: the grader keeps the first and the last.
    func testEndlessCallsTakeBoundedMemory() throws {
        try withTrial { trial in
            let subject = try trial.launch()
            _ = try trial.begin("spin-in-calls", [], in: subject)
            let count = try subject.waitForTimeline { $0.count("recv") > 120_000 ? $0.count("recv") : nil }
            XCTAssertNotNil(count)
            let timeline = subject.timeline
            XCTAssertLessThanOrEqual(timeline.calls.count, 30_000)
            XCTAssertEqual(timeline.calls.count + timeline.omitted, timeline.count("recv"))
            XCTAssertEqual(timeline.calls[0].descriptor, 777)
            XCTAssertGreaterThan(timeline.calls[29_000 - 15_000].entered, timeline.calls[0].entered)
        }
    }

    func testComputingWithoutEndIsNamed() {
        let verdict = judge(
            Check("busy") { trial in
                let subject = try trial.launch()
                let call = try trial.begin("spin", [], in: subject)
                _ = try call.outcome(within: 1.2)
            })
        XCTAssertEqual(verdict.report?.cause, "busy")
    }

    func testSpinningIsNamed() {
        let verdict = judge(
            Check("spin") { trial in
                let subject = try trial.launch()
                let call = try trial.begin("spin-in-calls", [], in: subject)
                _ = try call.outcome(within: 0.5)
            })
        XCTAssertEqual(verdict.status, .failed)
        XCTAssertEqual(verdict.report?.cause, "spinning")
        XCTAssertTrue(verdict.report?.detail?.hasPrefix("recv came back ") == true, "\(verdict.report?.detail ?? "")")
    }
}
