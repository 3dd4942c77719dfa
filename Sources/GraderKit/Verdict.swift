import Course

/// What a check found: one of these a check, and nothing else leaves a grader. Rendered by `LabCore`, printed as one
/// JSON line by `lab check --json`.
public struct Verdict: Codable, Sendable {
    public enum Status: String, Codable, Sendable {
        case passed
        case failed
        /// The code reached a `todo()`.
        case notStarted = "not-started"
        /// This machine cannot run the check: `reason` says what it lacks.
        case skipped
        /// The lab itself went wrong: `reason` says how.
        case labError = "lab-error"
    }

    /// The lesson's slug: `04-tcp`.
    public var lesson: String
    public var check: String
    public var status: Status
    public var points: Int
    public var seconds: Double
    /// Replays the check's random data: `LAB_SEED`.
    public var seed: UInt64
    /// If failed.
    public var report: Report?
    /// If not started: the `todo()` that was reached.
    public var place: Place?
    /// If skipped, or if the lab went wrong.
    public var reason: String?
    /// What the student's program printed, cut to its first and last kilobytes.
    public var output: String?
    /// Both sides of the conversation, a line each, for `lab trace`.
    public var trace: [TraceLine] = []
}

/// A line of a student's file.
public struct Place: Codable, Equatable, Sendable {
    public var file: String
    public var line: Int
    public var step: String

    public init(file: String, line: Int, step: String = "") {
        self.file = file
        self.line = line
        self.step = step
    }
}

/// Why a check failed.
public struct Report: Codable, Sendable {
    public var expected: String
    public var got: String
    /// Lines that show where bytes differ, aligned; empty where nothing was compared.
    public var difference: [String] = []
    /// What the program was doing: calls from the tap.
    public var calls: [String] = []
    /// The named mistake, in the catalogue's `causes`.
    public var cause: String?
    /// What this cause looked like here: numbers, ports, calls.
    public var detail: String?
    /// If the program crashed: its own line.
    public var crash: Place?
}

/// One event of a trace: left what the grader did, or right what the program did.
public struct TraceLine: Codable, Sendable {
    public enum Side: String, Codable, Sendable {
        case grader
        case program
    }

    /// Milliseconds since the check began.
    public var at: Double
    public var side: Side
    public var text: String
    /// The process or thread, where there are several.
    public var lane: String?
}
