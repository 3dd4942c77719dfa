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
        let quick = QuickBuild(workspace: workspace, lesson: lesson)
        if let result = try quick.run(stop: stop) { return outcome(of: result, lesson, stop) }
        if stop?.isStopped == true { return .stopped }
        let fingerprint = quick.fingerprint()
        quick.forget()
        let result = try run(["--product", "Lesson" + lesson.number], stop: stop)
        if result.succeeded { quick.remember(fingerprint) }
        return outcome(of: result, lesson, stop)
    }

    private func run(_ arguments: [String], stop: Stop?) throws(CommandError) -> Subprocess.Result {
        try Subprocess.run(
            "swift", ["build", "--package-path", workspace.root.path] + arguments, mergesErrors: true,
            environment: Build.environment(), stop: stop)
    }

    /// SwiftPM compiles Package.swift again, for half a second, whenever any variable differs from last time. So it gets
    /// only those that a compiler cares for, and not `TERM`, `SHLVL` or a `TMPDIR` of our own.
    static func environment(
        _ all: [String: String] = ProcessInfo.processInfo.environment, temporary: String? = TemporaryFolder.before
    ) -> [String: String] {
        let names: Set = [
            "PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "LC_CTYPE", "SDKROOT", "DEVELOPER_DIR", "TOOLCHAINS",
            "LD_LIBRARY_PATH", "LIBRARY_PATH", "CPATH", "C_INCLUDE_PATH", "PKG_CONFIG_PATH", "CC", "CXX",
            "XDG_CACHE_HOME",
            "XDG_CONFIG_HOME",
        ]
        var kept = all.filter { names.contains($0.key) || $0.key.hasPrefix("SWIFT") }
        kept["TMPDIR"] = temporary
        return kept
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
