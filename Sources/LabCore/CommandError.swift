// What ends a command early, and with which exit code.

/// What `lab` ends with.
public enum ExitCode: Int32, Sendable {
    /// All that was asked for passed, or was done.
    case success = 0
    /// Something did not pass, or is not there yet.
    case notPassed = 1
    /// The command was used wrongly: the student's input.
    case usage = 2
    /// The lab itself, or the machine, failed: not the student's doing.
    case failure = 3
}

/// One clear sentence for the person at the terminal: what, where, and what to do.
public struct CommandError: Error, Equatable, Sendable, CustomStringConvertible {
    public var exit: ExitCode
    public var description: String

    public init(_ exit: ExitCode, _ description: String) {
        self.exit = exit
        self.description = description
    }

    public static func usage(_ description: String) -> CommandError { CommandError(.usage, description) }
    public static func failure(_ description: String) -> CommandError { CommandError(.failure, description) }
}
