import Course
import Wire

/// The student's program did not do what the check expects. Thrown by whatever checks; `Judge` makes a report of it.
public struct Failure: Error {
    public var expected: String
    public var got: String
    public var difference: [String] = []
    /// The named mistake, where the check can tell from the values alone.
    public var cause: String?
    /// What it looked like here.
    public var detail: String?
    /// When it was seen (ns, CLOCK_MONOTONIC). What the program did afterwards it may have done because the lab's own peers
    /// were gone.
    let moment = now()

    public init(expected: String, got: String, difference: [String] = [], cause: String? = nil, detail: String? = nil) {
        self.expected = expected
        self.got = got
        self.difference = difference
        self.cause = cause
        self.detail = detail
    }
}

/// The code reached a `todo()`.
struct NotStarted: Error {
    var place: Place
}

/// The machine cannot run this check: no IPv6, no permission.
public struct Unavailable: Error {
    public var reason: String
    public init(_ reason: String) { self.reason = reason }
}

/// The program ended, or its server's function came back, while the check still waited for something.
public struct ProgramEnded: Error {
    public var expected: String
}

/// The lab itself went wrong: nobody's fault who is graded.
public struct LabError: Error, CustomStringConvertible {
    public var description: String
    public init(_ description: String) { self.description = description }
}
