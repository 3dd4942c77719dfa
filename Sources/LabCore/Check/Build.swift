// Builds one lesson's program, and nothing else: what is broken in lesson 07 cannot stop lesson 04.
import Course
import Foundation

public struct Build: Sendable {
    public var workspace: Workspace

    public init(_ workspace: Workspace) { self.workspace = workspace }

    public enum Outcome: Sendable {
        case built
        /// The student's code does not compile: its errors, the first one first.
        case broken([Diagnostic])
        /// The lab's own code does not compile, or the compiler could not be run: what it said.
        case lab(String)
        /// It was stopped.
        case stopped
    }

    /// `swift build --product Lesson04`
    public func lesson(_ lesson: Catalogue.Lesson, stop: Stop? = nil) throws(CommandError) -> Outcome {
        try outcome(of: run(["--product", "Lesson" + lesson.number], stop: stop), lesson, stop)
    }

    private func run(_ arguments: [String], stop: Stop?) throws(CommandError) -> Subprocess.Result {
        try Subprocess.run(
            "swift", ["build", "--package-path", workspace.root.path] + arguments, mergesErrors: true, stop: stop)
    }

    private func outcome(of result: Subprocess.Result, _ lesson: Catalogue.Lesson, _ stop: Stop?) -> Outcome {
        if result.succeeded { return .built }
        if stop?.isStopped == true { return .stopped }
        let errors = Diagnostic.parse(result.output).filter { $0.severity == .error }
        let folder = workspace.relative(workspace.exercises(lesson)) + "/"
        let own = errors.filter { workspace.relative($0.file).hasPrefix(folder) }
        // One error outside the student's folder means that the lab itself does not compile: theirs may follow from it.
        if !own.isEmpty && own.count == errors.count { return .broken(own) }
        return .lab(errors.isEmpty ? result.output : Build.text(errors, workspace))
    }

    static func text(_ errors: [Diagnostic], _ workspace: Workspace) -> String {
        errors.map { "\(workspace.relative($0.file)):\($0.line):\($0.column): \($0.message)" }.joined(separator: "\n")
    }
}
