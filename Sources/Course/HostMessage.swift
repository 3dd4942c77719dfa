// What a grader and a lesson process say to each other on the control socket: JSON objects, each behind its length
// (u32, big-endian). Lesson 05 teaches that framing.

/// From the grader to the lesson process.
public enum HostRequest: Codable, Sendable {
    case call(name: String, arguments: [Value])
    case serve(name: String, host: String, port: UInt16)
}

/// From the lesson process to the grader.
public enum HostReply: Codable, Sendable {
    /// The process is up; what follows is the student's.
    case ready
    case returned(Value)
    /// The student's code threw. `type` and `name` tell a typed error (`HeaderError`, `truncated`), `code` is the
    /// `errno` of a `SocketError`, or 0.
    case threw(type: String, name: String, code: Int32, description: String)
    /// The code reached `todo()`: this step is not written yet.
    case todo(file: String, line: Int, step: String)
    /// The lab asked for something that the contract does not have.
    case misused(String)
}

/// Where a `todo()` reports to. `LessonHost` sets it while a grader is listening; alone, `todo` prints.
nonisolated(unsafe) public var reachedTodo: ((_ file: String, _ line: Int, _ step: String) -> Void)?

/// `HeaderError`; or `Lesson01.HeaderError` of a type that the student declared: it may have the name of the contract's,
/// and nobody who waits for the contract's catches it.
public func typeName(of error: any Error) -> String {
    // A private type has its file in its name: Lesson01.(unknown context at $1234).HeaderError.
    let parts = String(reflecting: type(of: error)).split(separator: ".").filter { !$0.hasPrefix("(") }
    let isOfProgram = parts.first.map { $0.hasPrefix("Lesson") || $0.hasPrefix("Solution") } == true
    return isOfProgram ? parts.joined(separator: ".") : "\(type(of: error))"
}
