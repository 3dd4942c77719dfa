// What a run of checks came to.
import Course
import Foundation
import GraderKit

/// Counted from verdicts; the last JSON line of `lab check --json`.
public struct Summary: Codable, Equatable, Sendable {
    public var passed = 0
    public var failed = 0
    public var notStarted = 0
    public var skipped = 0
    /// The lab itself went wrong.
    public var errors = 0
    public var points = 0
    /// Points that could be had: of all checks that this machine can run.
    public var of = 0
    public var seconds = 0.0
    public var seed: UInt64
    /// Lessons whose code did not compile.
    public var broken: [String] = []

    enum CodingKeys: String, CodingKey {
        case passed, failed
        case notStarted = "not-started"
        case skipped, errors, points, of, seconds, seed, broken
    }

    public init(seed: UInt64) { self.seed = seed }

    public var total: Int { passed + failed + notStarted + skipped + errors }

    public mutating func count(_ verdict: Verdict, of check: Catalogue.Check?) {
        let worth = check?.points ?? verdict.points
        switch verdict.status {
        case .passed:
            passed += 1
            points += verdict.points
            of += worth
        case .failed:
            failed += 1
            of += worth
        case .notStarted:
            notStarted += 1
            of += worth
        case .skipped: skipped += 1
        case .labError: errors += 1
        }
    }

    /// Skipped checks do not count against anybody: the machine cannot run them.
    public var exit: ExitCode {
        if errors > 0 { return .failure }
        return failed + notStarted == 0 && broken.isEmpty ? .success : .notPassed
    }

    public func line(width: Int) -> StyledText {
        var parts: [StyledText] = []
        if passed > 0 { parts.append(StyledText(say("\(passed) passed", "\(passed) 项通过"), .good)) }
        if failed > 0 { parts.append(StyledText(say("\(failed) failed", "\(failed) 项未通过"), .bad)) }
        if notStarted > 0 {
            parts.append(StyledText(say("\(notStarted) not started", "\(notStarted) 项还没开始"), .waiting))
        }
        if skipped > 0 { parts.append(StyledText(say("\(skipped) skipped", "跳过 \(skipped) 项"), .quiet)) }
        if errors > 0 { parts.append(StyledText(say("\(errors) lab errors", "实验环境出错 \(errors) 次"), .bad)) }
        if parts.isEmpty { parts.append(StyledText(say("nothing was checked", "没有检查任何项"), .waiting)) }
        var line = StyledText()
        for (index, part) in parts.enumerated() {
            line += (index == 0 ? StyledText() : StyledText(" · ", .quiet)) + part
        }
        let right =
            StyledText(say("\(points)/\(of) points", "\(points)/\(of) 分"), .strong)
            + StyledText("   \(duration(seconds))", .quiet)
        let both = line.justified(with: right, to: width)
        return both
    }
}

/// `0.4 s`, `12.3 s`, `2 min 5 s`.
public func duration(_ seconds: Double) -> String {
    if seconds < 99.95 { return tenths(seconds) + " s" }
    let whole = Int(seconds.rounded())
    return "\(whole / 60) min \(whole % 60) s"
}

/// One digit after the point, whatever the locale.
func tenths(_ value: Double) -> String {
    let scaled = Int((value * 10).rounded())
    return "\(scaled < 0 ? "-" : "")\(abs(scaled) / 10).\(abs(scaled) % 10)"
}
