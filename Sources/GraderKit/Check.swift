import Course

/// One thing that a grader looks at: an id that the catalogue describes, and how to find out.
public struct Check: Sendable {
    /// Unique in its lesson: `two-clients`.
    public let id: String
    /// Mistakes that would explain a failure of this check, the likeliest first; they come before the general ones.
    public let suspects: [Cause]
    let body: @Sendable (Trial) throws -> Void

    /// - Parameter body: throws a `Failure` if the program does not do what it should; returns if it does.
    public init(_ id: String, suspects: [Cause] = [], body: @escaping @Sendable (Trial) throws -> Void) {
        self.id = id
        self.suspects = suspects
        self.body = body
    }

    /// The same check, in a trial that `prepare` has seen before: a check that many servers share, in a folder with files.
    public func after(_ prepare: @escaping @Sendable (Trial) throws -> Void) -> Check {
        Check(id, suspects: suspects) { [body] trial in
            try prepare(trial)
            try body(trial)
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
