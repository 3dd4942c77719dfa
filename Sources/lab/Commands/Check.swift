import Course
import Foundation
import GraderKit
import LabCore

/// What the commands that judge have in common.
let judgingOptions = [
    OptionSpecification("--solution", "judge the reference solution instead of your code", "评参考实现，而不是你的代码"),
    OptionSpecification("--json", "one JSON object a line: each verdict, then a summary", "每行一个 JSON 对象：每项结果，最后是小结"),
    OptionSpecification("--seed", value: "N", "replay a run with the same random data", "用同样的随机数据重放"),
]

extension Command {
    static let check = Command(
        name: "check",
        usage: ["[LESSON] [CHECK or EXERCISE]..."],
        summary: Text(en: "build a lesson and judge it", zh: "编译并评判一课"),
        details: Text(
            en:
                "Builds only that lesson, so that what is broken in one cannot stop another. Without a LESSON all are checked.\n"
                + "Ends with 0 if all passed, 1 if something did not (not started counts as not passed), 2 if the command was "
                + "used wrongly, 3 if the lab itself failed.",
            zh: "只编译这一课，所以一课的错误不会妨碍另一课。不写 LESSON 则检查所有课程。\n"
                + "退出码：0 全部通过；1 有没通过的（还没开始也算没通过）；2 命令用法不对；3 实验环境自己出错。"),
        options: judgingOptions,
        examples: [
            Example("lab check 04", "all checks of lesson 04", "第 04 课的所有检查"),
            Example("lab check 04 uppercase-server", "those of one exercise", "一个练习的检查"),
            Example("lab check 04 two-clients", "a single check", "单独一项检查"),
            Example("lab check two-clients", "the same, if only one lesson has it", "同上，只要没有重名"),
            Example("lab check 04 --solution", "the reference instead of your code", "评参考实现"),
            Example("lab check 04 --json", "for programs", "给程序读"),
        ],
        words: 0...99
    ) { invocation in
        let workspace = try invocation.workspace()
        let catalogue = try workspace.catalogue()
        let selections = try catalogue.select(invocation.words)
        return try CheckRun(invocation, workspace, catalogue).run(selections)
    }
}

/// One run of `lab check`: builds and judges, prints, and keeps the progress.
private final class CheckRun {
    private let invocation: Invocation
    private let workspace: Workspace
    private let catalogue: Catalogue
    private let console: Console
    private let json: Bool
    private let reference: Bool
    private let seed: UInt64
    private let activity: Activity
    private var summary: Summary
    private var hasPrinted = false

    init(_ invocation: Invocation, _ workspace: Workspace, _ catalogue: Catalogue) throws(CommandError) {
        self.invocation = invocation
        self.workspace = workspace
        self.catalogue = catalogue
        console = invocation.console
        json = invocation.has("--json")
        reference = invocation.has("--solution")
        seed = try invocation.seed() ?? Judge.environmentSeed
        summary = Summary(seed: seed)
        activity = Activity(console)
    }

    func run(_ selections: [Selection]) throws(CommandError) -> ExitCode {
        let removeTemporaries = TemporaryFolder.install()
        defer {
            activity.end()
            removeTemporaries()
        }
        let began = Date()
        for selection in selections where !selection.checks.isEmpty { try run(selection) }
        summary.seconds = Date().timeIntervalSince(began)
        if json { show(.summary(summary)) } else { activity.around { printSummary(selections) } }
        return summary.exit
    }

    private func run(_ selection: Selection) throws(CommandError) {
        if !reference { Stubs(workspace).keep(selection.lesson) }
        var text = RunText(
            selection,
            VerdictText(catalogue: catalogue, workspace: workspace, width: console.width, reference: reference))
        if !json { print(text.heading(), apart: true) }
        let before = invocation.progress(workspace)
        // What failed last time is what the student waits for.
        let first = selection.checks.map(\.id).filter { before.status($0, of: selection.lesson) == .failed }
        let checker = Checker(workspace: workspace, reference: reference, seed: seed)
        try checker.run(selection, first: Set(first), stage: { [activity] in activity.now($0.text) }) { event in
            count(event, selection)
            if json { return show(event) }
            switch event {
            case .verdict(let verdict): print(text.add(verdict))
            case .broken(_, let errors):
                print(BuildText(workspace: workspace, width: console.width).lines(errors, in: selection.lesson))
            case .summary: break
            }
        }
    }

    private func count(_ event: Event, _ selection: Selection) {
        switch event {
        case .verdict(let verdict):
            summary.count(verdict, of: selection.checks.first { $0.id == verdict.check })
            if !reference, verdict.status != .labError {
                invocation.keep(workspace) { $0.record(verdict, at: Date()) }
            }
        case .broken(let lesson, _): summary.broken.append(lesson)
        case .summary: break
        }
    }

    private func print(_ lines: [StyledText], apart: Bool = false) {
        guard !lines.isEmpty else { return }
        activity.around {
            console.print((apart && hasPrinted ? [StyledText()] : []) + lines)
            hasPrinted = true
        }
    }

    private func show(_ event: Event) {
        guard let line = try? event.json() else { return }
        activity.around { console.print(line) }
    }

    private func printSummary(_ selections: [Selection]) {
        if summary.total == 0 && !summary.broken.isEmpty { return }
        var lines = [StyledText(), summary.line(width: console.width)]
        let words = (["lab check"] + invocation.words + (reference ? ["--solution"] : [])).joined(separator: " ")
        if summary.failed > 0 {
            lines.append(
                StyledText(say("again with the same data   ", "用同样的数据重来   "), .quiet)
                    + StyledText("\(words) --seed \(seed)", .quiet))
        }
        if summary.exit == .success, summary.passed > 0, !reference {
            let progress = invocation.progress(workspace)
            let list = ListText(
                catalogue: catalogue, workspace: workspace, progress: progress, width: console.width)
            lines += [StyledText()] + list.next()
        }
        console.print(lines)
    }
}

extension Checker.Stage {
    var text: String {
        switch self {
        case .building(let lesson): return say("building \(lesson)", "正在编译 \(lesson)")
        case .judging(let done, let count): return say("judging, \(done) of \(count) done", "正在评判，已完成 \(done)/\(count)")
        }
    }
}
