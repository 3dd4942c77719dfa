import Course
import Foundation
import GraderKit
import LabCore

extension Command {
    static let trace = Command(
        name: "trace",
        usage: ["LESSON CHECK"],
        summary: Text(en: "both sides of one check, call by call", zh: "逐个调用地看一项检查的双方"),
        details: Text(
            en:
                "Runs the check and shows a timeline: at the left what the grader sent and received, at the right the socket "
                + "calls of your program, with their results and bytes. ⋯ marks a call that had not returned.",
            zh: "运行该检查并显示时间线：左边是评测程序的收发，右边是你的程序的套接字调用、结果和字节。⋯ 表示还没有返回的调用。"),
        options: judgingOptions,
        examples: [
            Example("lab trace 04 two-clients", "what happened in this check", "这项检查里发生了什么"),
            Example("lab trace 04 two-clients --solution", "the same with the reference", "参考实现是怎么做的"),
        ],
        words: 1...2
    ) { invocation in
        let (workspace, catalogue, lesson) = try invocation.lesson()
        guard let word = invocation.words.dropFirst().first else {
            throw CommandError.usage(
                say(
                    "Which check? For example: lab trace \(lesson.number) \(lesson.checks.first?.id ?? "CHECK")",
                    "哪一项检查？例如：lab trace \(lesson.number) \(lesson.checks.first?.id ?? "CHECK")"))
        }
        let check = try lesson.find(check: word)
        let selection = Selection(lesson: lesson, checks: [check])
        let reference = invocation.has("--solution")
        let console = invocation.console

        let activity = Activity(console)
        let removeTemporaries = TemporaryFolder.install()
        defer {
            activity.end()
            removeTemporaries()
        }
        let checker = Checker(
            workspace: workspace, reference: reference, seed: try invocation.seed() ?? Judge.environmentSeed)
        var events: [Event] = []
        try checker.run(selection, stage: { activity.now($0.text) }, event: { events.append($0) })
        activity.end()

        switch events.first {
        case .verdict(let verdict):
            if !reference, verdict.status != .labError {
                invocation.keep(workspace) { $0.record(verdict, at: Date()) }
            }
            if invocation.has("--json") {
                console.print(try Event.verdict(verdict).json())
            } else {
                let text = VerdictText(
                    catalogue: catalogue, workspace: workspace, width: console.width, reference: reference)
                let exercise = lesson.exercise(of: check.id)?.id ?? ""
                let side = reference ? say("reference", "参考实现") : say("your \(exercise)", "你的 \(exercise)")
                // A trace gains from every column that the terminal has.
                let trace = TraceText(width: min(console.columns, 140), program: side)
                console.print(text.lines(verdict) + [StyledText()] + trace.lines(verdict.trace))
            }
            return verdict.exit
        case .broken(_, let errors)?:
            if invocation.has("--json") {
                console.print(try Event.broken(lesson: lesson.slug, errors).json())
            } else {
                console.print(BuildText(workspace: workspace, width: console.width).lines(errors, in: lesson))
            }
            return .notPassed
        default: return .failure
        }
    }
}

extension Verdict {
    var exit: ExitCode {
        switch status {
        case .passed, .skipped: return .success
        case .failed, .notStarted: return .notPassed
        case .labError: return .failure
        }
    }
}
