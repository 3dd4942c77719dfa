// What many runs of the same checks came to.
import Course
import GraderKit

public struct SoakResult: Sendable {
    public struct Key: Hashable, Sendable {
        public var lesson: String
        public var check: String
    }

    /// What became of a check in one run.
    public enum Ending: String, Codable, Sendable {
        case passed
        case skipped
        case failed
        /// The reference cannot be "not started"; it counts as a failure.
        case notStarted = "not-started"
        case labError = "lab-error"
        /// It was begun, and did not come back.
        case hung
        /// It was begun, and the grader ended before it did.
        case died
        /// The grader hung or ended before its turn came.
        case notRun = "not-run"

        public var isTrouble: Bool { ![.passed, .skipped, .notRun].contains(self) }

        init(_ verdict: Verdict?, began: Bool, _ run: GraderProcess.Ending) {
            switch verdict?.status {
            case .passed?: self = .passed
            case .skipped?: self = .skipped
            case .failed?: self = .failed
            case .notStarted?: self = .notStarted
            case .labError?: self = .labError
            case nil: self = !began ? .notRun : run == .hung ? .hung : .died
            }
        }
    }

    public struct Count: Sendable {
        public var endings: [Ending: Int] = [:]
        /// Seconds of the slowest run that came to a verdict.
        public var slowest = 0.0
        /// Why it was skipped.
        public var reason: String?

        public init() {}

        /// How often it was judged, or should have been.
        public var runs: Int { endings.filter { $0.key != .skipped && $0.key != .notRun }.values.reduce(0, +) }
        public var failures: Int { endings.filter(\.key.isTrouble).values.reduce(0, +) }

        mutating func add(_ ending: Ending, _ verdict: Verdict?) {
            endings[ending, default: 0] += 1
            slowest = max(slowest, verdict?.seconds ?? 0)
            if ending == .skipped { reason = verdict?.reason }
        }
    }

    /// One failure, and where all that is known of it is kept.
    public struct Trouble: Codable, Sendable {
        public var lesson: String
        /// Empty: the run as a whole.
        public var check: String
        public var ending: Ending
        public var run: Int
        public var seed: UInt64
        public var file: String?
    }

    public var conditions: SoakConditions
    /// Runs of one lesson that came to their end.
    public var rounds: Int
    public var counts: [Key: Count]
    public var troubles: [Trouble]
    /// The checks in the order of the catalogue.
    public var order: [Key]

    public var isClean: Bool { troubles.isEmpty && counts.values.allSatisfy { ($0.endings[.notRun] ?? 0) == 0 } }
}
