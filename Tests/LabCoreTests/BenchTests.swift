import Course
import LabCore
import XCTest

/// `lab bench`: what it concludes from the numbers, and how it says so.
final class BenchTests: XCTestCase {
    private func row(_ server: String, ratio: Double, least: Double? = nil) -> ServerBench.Row {
        ServerBench.Row(
            bench: "udp", server: server, messagesPerSecond: 123_456.7 * ratio, p50: 432.1, p99: 12_345, ratio: ratio,
            lowest: ratio - 0.02, highest: ratio + 0.01, least: least)
    }

    private func result(_ rows: [ServerBench.Row], others: Double = 0) -> ServerBench.Result {
        var result = ServerBench.Result(rounds: 7)
        result.rows = rows
        result.others = others
        return result
    }

    private func text(_ result: ServerBench.Result) -> [String] {
        BenchText(result: result, width: 80).lines.map(\.plain)
    }

    func testARatioIsEnoughIfItReachesWhatIsAsked() {
        XCTAssertTrue(result([row("C", ratio: 1), row("reference", ratio: 0.95, least: 0.95)]).isEnough)
        XCTAssertFalse(result([row("C", ratio: 1), row("reference", ratio: 0.949, least: 0.95)]).isEnough)
        XCTAssertTrue(result([row("C", ratio: 1), row("reference", ratio: 0.1)]).isEnough)
    }

    func testTheTableSaysWhatIsEnough() {
        let lines = text(result([row("C", ratio: 1), row("reference", ratio: 0.97, least: 0.95)]))
        XCTAssertEqual(lines[0], "                         msgs/s      p50      p99  of C      range")
        XCTAssertEqual(lines[1], "  udp       C           123,457   432 µs    12 ms  1.00")
        XCTAssertEqual(lines[2], "✔ udp       reference   119,753   432 µs    12 ms  0.97  0.95–0.98  ≥ 0.95")
        let poor = text(result([row("C", ratio: 1), row("reference", ratio: 0.5, least: 0.95)]))
        XCTAssertTrue(poor[2].hasPrefix("✘ udp"), poor[2])
    }

    func testNoLineIsWiderThanATerminal() {
        for language in Language.allCases {
            let before = Language.current
            Language.current = language
            defer { Language.current = before }
            var all = result([row("C", ratio: 1), row("reference", ratio: 0.97, least: 0.95)], others: 0.5)
            all.crowd = ServerBench.Crowd(connections: 5000, messages: 100_000, seconds: 3, serverMemory: 20_000)
            for line in BenchText(result: all, width: 80).lines {
                XCTAssertLessThanOrEqual(line.width, 80, line.plain)
            }
        }
    }

    func testOtherProgramsAreMentionedOnlyWhereTheyMatter() {
        let rows = [row("C", ratio: 1), row("reference", ratio: 1)]
        XCTAssertFalse(text(result(rows, others: 0.04)).contains { $0.contains("Other programs") })
        XCTAssertTrue(text(result(rows, others: 0.4)).contains { $0.contains("Other programs took 40 %") })
    }
}
