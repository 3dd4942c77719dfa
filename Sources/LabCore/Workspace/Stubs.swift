// The file as the student found it: what `lab reset` puts back.
import Course
import Foundation

/// Finds, keeps and restores the stubs of exercises.
public struct Stubs: Sendable {
    public var workspace: Workspace

    public init(_ workspace: Workspace) { self.workspace = workspace }

    public enum Source: Sendable {
        /// `.lab/stubs`, taken when the lab first saw the exercise.
        case kept
        /// The commit that is checked out.
        case head
        /// The first commit that had the file: the student has committed work of their own since.
        case firstCommit
    }

    /// Keeps copies of all stubs of the lesson that are not kept yet, so that they can be restored without git, or after
    /// the student has committed. That it cannot be done is no reason to stop: git has them, too.
    public func keep(_ lesson: Catalogue.Lesson) {
        for exercise in lesson.exercises {
            let copy = self.copy(exercise, lesson)
            guard !FileManager.default.fileExists(atPath: copy.path) else { continue }
            let file = workspace.file(exercise, of: lesson)
            guard let text = fromGit("HEAD", file) ?? (try? String(contentsOf: file, encoding: .utf8)), isStub(text)
            else {
                continue
            }
            try? writeAtomically(Data(text.utf8), to: copy)
        }
    }

    /// - Throws: if neither a kept copy nor git has it.
    public func stub(of exercise: Catalogue.Exercise, in lesson: Catalogue.Lesson) throws(CommandError) -> (
        String, Source
    ) {
        let file = workspace.file(exercise, of: lesson)
        if let text = try? String(contentsOf: copy(exercise, lesson), encoding: .utf8) { return (text, .kept) }
        if let text = fromGit("HEAD", file), isStub(text) { return (text, .head) }
        let path = workspace.relative(file)
        let commits = git(["log", "--format=%H", "--diff-filter=A", "--", path])?.split(separator: "\n") ?? []
        if let first = commits.last, let text = fromGit(String(first), file) { return (text, .firstCommit) }
        throw .failure(
            say(
                "The stub of \(path) is not to be found: this folder has no git history of it, and .lab/stubs no copy. "
                    + "Download SocketLab again and copy the file from there.",
                "找不到 \(path) 的原始文件：这个目录没有它的 git 历史，.lab/stubs 里也没有副本。请重新下载 SocketLab，从中复制该文件。"))
    }

    public enum Outcome: Sendable {
        /// There was nothing to do.
        case wasStub
        /// `kept`: where the student's version is now; nil if there was none.
        case restored(Source, kept: URL?)
    }

    /// Puts the stub back. What was there is kept beside it as `FILE.mine-1`, `-2`, …
    ///
    public func reset(
        _ exercise: Catalogue.Exercise, of lesson: Catalogue.Lesson
    ) throws(CommandError) -> Outcome {
        let file = workspace.file(exercise, of: lesson)
        let (text, source) = try stub(of: exercise, in: lesson)
        guard let mine = try? Data(contentsOf: file) else {
            try writeAtomically(Data(text.utf8), to: file)
            return .restored(source, kept: nil)
        }
        if mine == Data(text.utf8) { return .wasStub }
        let kept = try keepMine(mine, file)
        try writeAtomically(Data(text.utf8), to: file)
        return .restored(source, kept: kept)
    }

    private func keepMine(_ mine: Data, _ file: URL) throws(CommandError) -> URL {
        var number = 1
        while true {
            let kept = URL(fileURLWithPath: file.path + ".mine-\(number)")
            if let same = try? Data(contentsOf: kept), same == mine { return kept }
            if !FileManager.default.fileExists(atPath: kept.path) {
                try writeAtomically(mine, to: kept)
                return kept
            }
            number += 1
        }
    }

    private func copy(_ exercise: Catalogue.Exercise, _ lesson: Catalogue.Lesson) -> URL {
        workspace.state.appendingPathComponent("stubs/\(lesson.slug)/\(exercise.file)")
    }

    private func isStub(_ text: String) -> Bool { text.contains("todo(") }

    private func fromGit(_ commit: String, _ file: URL) -> String? {
        git(["show", "\(commit):./\(workspace.relative(file))"])
    }

    /// Nil if git is not there, this is no repository, or it does not have what was asked for.
    private func git(_ arguments: [String]) -> String? {
        guard let result = try? Subprocess.run("git", ["-C", workspace.root.path] + arguments), result.succeeded else {
            return nil
        }
        return result.output
    }
}
