// Builds one lesson's program, and nothing else: what is broken in lesson 07 cannot stop lesson 04.
import Course
import Foundation
import Sockets

public struct Build: Sendable {
    public var workspace: Workspace

    public init(_ workspace: Workspace) { self.workspace = workspace }

    public enum Outcome: Sendable {
        case built
        /// The student's code does not compile: its errors, the first one first.
        case broken([Diagnostic])
        /// It was stopped.
        case stopped
    }

    /// `swift build --product Lesson04`
    ///
    /// - Throws: a failure that is not the student's: the lab's own code does not compile, or nothing could be built.
    public func lesson(_ lesson: Catalogue.Lesson, stop: Stop? = nil) throws(CommandError) -> Outcome {
        distrustRecentTimes(of: lesson)
        let quick = QuickBuild(workspace: workspace, lesson: lesson)
        if let result = try quick.run(stop: stop) { return try outcome(of: result, lesson, stop) }
        if stop?.isStopped == true { return .stopped }
        let fingerprint = quick.fingerprint()
        quick.forget()
        let result = try run(["--product", "Lesson" + lesson.number], stop: stop)
        if result.succeeded { quick.remember(fingerprint) }
        return try outcome(of: result, lesson, stop)
    }

    /// The Swift driver (6.3, Linux) compares the times of files by the whole second. A file that was saved twice within one
    /// second, with a build between, as formatters on save do, would stay as it was at first, and so would its verdict.
    /// Without the driver's record of the last build (`primary.priors`) it compiles the module anew.
    private func distrustRecentTimes(of lesson: Catalogue.Lesson) {
        let record = workspace.root.appendingPathComponent(
            ".build/debug/Lesson\(lesson.number).build/primary.priors"
        ).path
        var status = stat()
        guard stat(record, &status) == 0 else { return }
        let written = modificationTime(status)
        let second = 1_000_000_000
        // The record is written when a build ends, its file was read when it began: allow for a slow one.
        let doubtful = (written - 10 * second)...(written + second)
        let folder = workspace.exercises(lesson).path
        let names = FileManager.default.enumerator(atPath: folder)?.compactMap { $0 as? String } ?? []
        for name in names where name.hasSuffix(".swift") {
            guard stat("\(folder)/\(name)", &status) == 0, doubtful.contains(modificationTime(status)) else { continue }
            unlink(record)
            return
        }
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

    private func outcome(of result: Subprocess.Result, _ lesson: Catalogue.Lesson, _ stop: Stop?) throws(CommandError)
        -> Outcome
    {
        if result.succeeded { return .built }
        if stop?.isStopped == true { return .stopped }
        let errors = Diagnostic.parse(result.output).filter { $0.severity == .error }
        let folder = workspace.relative(workspace.exercises(lesson)) + "/"
        let own = errors.filter { workspace.relative($0.file).hasPrefix(folder) }
        // One error outside the student's folder means that the lab itself does not compile: theirs may follow from it.
        if !own.isEmpty && own.count == errors.count { return .broken(own) }
        // What the compiler keeps in .build names the folder that it was made in.
        if result.output.contains("compiled with module cache path") {
            throw .failure(
                say(
                    "This folder was moved or copied after it was built, and the compiler refuses what it built elsewhere. "
                        + "Remove \(workspace.root.path)/.build and try again: it is made anew.",
                    "这个文件夹构建之后被移动或复制过，编译器不接受在别处构建的东西。"
                        + "请删除 \(workspace.root.path)/.build 再试：它会重新生成。"))
        }
        if errors.isEmpty {
            let sentence = say(
                "`swift build` failed, and not about your exercise; `lab doctor` looks at this machine:",
                "`swift build` 失败了，原因不在你的练习；`lab doctor` 检查这台机器：")
            throw .failure(sentence + "\n" + result.output.trimmingCharacters(in: .whitespacesAndNewlines))
        }
        let sentence = say(
            "The lab's own code does not compile; this is not about your exercise:", "实验环境自己的代码编译不通过，与你的练习无关：")
        throw .failure(sentence + "\n" + Build.text(errors, workspace))
    }

    static func text(_ errors: [Diagnostic], _ workspace: Workspace) -> String {
        errors.map { "\(workspace.relative($0.file)):\($0.line):\($0.column): \($0.message)" }.joined(separator: "\n")
    }
}
