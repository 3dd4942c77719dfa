// Rules that need the programs: no stub gets as far as a verdict, and every solution passes.
import Course
import Foundation
import GraderKit
import Graders

extension Lint {
    public enum Stage: Sendable {
        case building
        case stubs(String)
        case solutions(String)
    }

    /// Builds everything, then judges every check twice: on the student's files, where it must find a `todo()`, and on
    /// the solution, which must pass.
    ///
    /// - Parameter rebuilt: called when the build has replaced this very program, whose graders are the old ones then.
    public func run(
        rebuilt: () throws(CommandError) -> Void, stage: (Stage) -> Void = { _ in }
    ) throws(CommandError) -> [Defect] {
        stage(.building)
        let before = Stamp(executablePath())
        let errors = try build()
        guard errors.isEmpty else { return errors.inOrder }
        if Stamp(executablePath()) != before { try rebuilt() }
        var found: [Defect] = []
        let products = workspace.root.appendingPathComponent(".build/debug")
        for lesson in lessons {
            guard let grader = grader(of: lesson.slug) else { continue }
            let checks = grader.checks.filter { check in lesson.checks.contains { $0.id == check.id } }
            stage(.stubs(lesson.slug))
            Judge { .exercise($0, products: products) }.judge(checks, of: lesson.slug) { verdict in
                found += [judgedStub(verdict, lesson)].compactMap { $0 }
            }
            stage(.solutions(lesson.slug))
            Judge { .solution($0, products: Program.products) }.judge(checks, of: lesson.slug) { verdict in
                found += [judgedSolution(verdict, lesson)].compactMap { $0 }
            }
        }
        return found.inOrder
    }

    private func build() throws(CommandError) -> [Defect] {
        let result = try Subprocess.run(
            "swift", ["build", "--package-path", workspace.root.path], mergesErrors: true)
        if result.succeeded { return [] }
        let errors = Diagnostic.parse(result.output).filter { $0.severity == .error }
        guard !errors.isEmpty else {
            throw .failure(say("`swift build` failed:", "`swift build` 失败：") + "\n" + result.output)
        }
        return errors.map { error in
            Defect(
                "build", workspace.relative(error.file), line: error.line, error.message,
                do: say("make it compile: nothing could be run", "请先让它通过编译：目前什么都运行不了"))
        }
    }

    func judgedStub(_ verdict: Verdict, _ lesson: DescribedLesson) -> Defect? {
        let problem: String
        switch verdict.status {
        case .notStarted, .skipped: return nil
        case .passed: problem = say("it passes before anything is written", "什么都没写就通过了")
        case .failed:
            let report = verdict.report
            problem = say(
                "the stub fails instead of being \"not started\" (got: \(report?.got ?? ""))",
                "练习的初始文件判为未通过，而不是“还没开始”（得到：\(report?.got ?? "")）")
        case .labError: problem = verdict.reason ?? say("the lab went wrong", "实验环境出错")
        }
        let exercise = lesson.exercises.first { $0.checks.contains { $0.id == verdict.check } }
        let file = "Exercises/\(lesson.slug)/\(exercise?.file ?? "main.swift")"
        return Defect(
            "stub", file, line: files.line(of: "todo(", in: file),
            say("check \(verdict.check): \(problem)", "检查 \(verdict.check)：\(problem)"),
            do: say(
                "let the stub reach todo() in every check (a student's work does not belong in the course's own copy)",
                "让初始文件在每项检查中都走到 todo()（课程自己的副本里不该有学生的作业）"))
    }

    func judgedSolution(_ verdict: Verdict, _ lesson: DescribedLesson) -> Defect? {
        let problem: String
        switch verdict.status {
        case .passed, .skipped: return nil
        case .notStarted: problem = say("it still calls todo()", "还在调用 todo()")
        case .failed:
            let report = verdict.report
            problem = say(
                "expected \(report?.expected ?? ""), got \(report?.got ?? "")",
                "期望 \(report?.expected ?? "")，得到 \(report?.got ?? "")")
        case .labError: problem = verdict.reason ?? say("the lab went wrong", "实验环境出错")
        }
        let exercise = lesson.exercises.first { $0.checks.contains { $0.id == verdict.check } }
        let again = "lab check \(lesson.number) \(verdict.check) --solution --seed \(verdict.seed)"
        return Defect(
            "solution", "Solutions/\(lesson.slug)/\(exercise?.file ?? "Reference.swift")",
            say(
                "check \(verdict.check) fails: \(problem)", "检查 \(verdict.check) 未通过：\(problem)"),
            do: say("see it again with `\(again)`", "用 `\(again)` 重现"))
    }
}

/// Tells a file from the one that was there before under its name.
private struct Stamp: Equatable {
    var number: UInt64?
    var modified: Date?

    init(_ path: String?) {
        let attributes = path.flatMap { try? FileManager.default.attributesOfItem(atPath: $0) }
        number = attributes?[.systemFileNumber] as? UInt64
        modified = attributes?[.modificationDate] as? Date
    }
}
