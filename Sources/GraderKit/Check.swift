import Course

/// One thing that a grader looks at: an id that the catalogue describes, and how to find out.
public struct Check: Sendable {
    /// Unique in its lesson: `two-clients`.
    public let id: String
    /// Mistakes that would explain a failure of this check, the likeliest first; they come before the general ones.
    public let suspects: [Cause]
    /// Mistakes that explain a failure even where the check has named another: what it saw came of them.
    private(set) var surest: [Cause] = []
    private(set) var body: @Sendable (Trial) throws -> Void

    /// - Parameter body: throws a `Failure` if the program does not do what it should; returns if it does.
    public init(_ id: String, suspects: [Cause] = [], body: @escaping @Sendable (Trial) throws -> Void) {
        self.id = id
        self.suspects = suspects
        self.body = body
    }

    /// The same check, in a trial that `prepare` has seen before: a check that many servers share, in a folder with files.
    public func after(_ prepare: @escaping @Sendable (Trial) throws -> Void) -> Check {
        with { [body] trial in
            try prepare(trial)
            try body(trial)
        }
    }

    /// The same check, with something that must be there as long as it runs.
    public func around(_ run: @escaping @Sendable (Trial, (Trial) throws -> Void) throws -> Void) -> Check {
        with { [body] trial in try run(trial, body) }
    }

    /// The same check, where the calls may show a mistake that explains whatever the check saw of it.
    public func explained(first causes: [Cause]) -> Check {
        var check = self
        check.surest = causes + surest
        return check
    }

    private func with(_ body: @escaping @Sendable (Trial) throws -> Void) -> Check {
        var check = self
        check.body = body
        return check
    }
}

extension Check {
    /// The same check of a server that gives up clients which say nothing for so many seconds. On a machine so busy that our
    /// own clients were silent for as long, a failure says nothing of the server: it is tried again.
    public func whereSilenceEnds(after patience: Double) -> Check {
        with { [body] trial in
            for attempt in 1... {
                _ = trial.takeLongestSilence()
                do { return try body(trial) } catch let failure as Failure {
                    // A little sooner than the server: it may have begun to count before us.
                    guard attempt < 4, trial.takeLongestSilence() > 0.7 * patience else { throw failure }
                    trial.note(say("too late: the check begins again", "太迟了：检查重新开始"))
                    trial.stopPrograms()
                }
            }
        }
    }
}

/// The checks of one lesson.
public struct LessonGrader: Sendable {
    public let slug: String
    public let checks: [Check]

    public init(slug: String, checks: [Check]) {
        self.slug = slug
        self.checks = checks
    }
}
