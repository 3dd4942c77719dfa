import Course
import Foundation
import LabCore

extension Command {
    static let mutants = Command(
        name: "mutants",
        usage: ["LESSON [FILE...]"],
        summary: Text(en: "change the reference a little: do graders notice?", zh: "把参考实现改动一点：评测察觉得到吗？"),
        details: Text(
            en:
                "Makes mechanical mutants of the lesson's reference: a call removed, a loop made once, a comparison turned, a "
                + "constant off by one, an error ignored, arguments swapped, an operator exchanged. Builds and grades each, and "
                + "shows those that pass every check. A survivor is a missing check, or equivalent: then Tests/Mutants/NN-topic.json "
                + "says why. Ends with 1 if more than a tenth of the others survived. Takes minutes.",
            zh: "机械地改动参考实现：删掉一个调用、循环只做一遍、比较反过来、常数差一、忽略错误、交换参数、换运算符。"
                + "逐个编译并评判，列出仍通过所有检查的。存活的变异体要么说明缺一项检查，要么与原程序等价：后者在 Tests/Mutants/NN-topic.json 里写明理由。"
                + "其他存活者超过十分之一时退出码为 1。需要几分钟。"),
        options: [
            OptionSpecification("--jobs", value: "N", "mutants at a time", "同时评几个变异体"),
            OptionSpecification("--json", "one JSON object a mutant, then a summary", "每个变异体一个 JSON 对象，最后是小结"),
        ],
        examples: [
            Example("lab mutants 05", "all of lesson 05", "第 05 课的全部"),
            Example("lab mutants 05 FrameDecoder.swift", "of one file", "一个文件的"),
        ],
        words: 1...20
    ) { invocation in
        let (workspace, _, lesson) = try invocation.lesson()
        guard let lab = executablePath() else {
            throw CommandError.failure(say("The lab cannot find itself.", "找不到 lab 程序自己。"))
        }
        if ProcessInfo.processInfo.environment["LAB_TIME_SCALE"] == nil { setenv("LAB_TIME_SCALE", "0.4", 1) }
        let console = invocation.console
        let json = invocation.has("--json")
        let activity = Activity(console)
        let removeTemporaries = TemporaryFolder.install()
        defer {
            activity.end()
            removeTemporaries()
        }
        let jobs = try invocation.count("--jobs") ?? 2 * ProcessInfo.processInfo.activeProcessorCount
        let run = MutantRun(workspace, lesson, lab: lab, jobs: jobs)
        var failure: (any Error)?
        let result = try run.run(files: Array(invocation.words.dropFirst()), stage: { activity.now($0) }) { mutant in
            activity.around {
                if json {
                    do { console.print(try jsonLine(event: "mutant", mutant)) } catch { failure = error }
                } else if mutant.fate == .survived {
                    console.print(lines(mutant))
                }
            }
        }
        activity.end()
        if let failure { throw failure }
        let summary = MutantSummary(lesson.slug, result)
        if json {
            console.print(try jsonLine(event: "mutants", summary))
        } else {
            for entry in result.stale {
                console.print(
                    StyledText(
                        say(
                            "not equivalent, or not there any more: \(entry.file): \(entry.before)",
                            "不等价，或已不存在：\(entry.file)：\(entry.before)"), .bad))
            }
            console.print(
                StyledText(lesson.slug.padded(to: 14), .strong)
                    + StyledText(
                        say(
                            "\(summary.killed) of \(summary.killed + summary.survived) mutants killed, "
                                + "\(summary.equivalent) equivalent",
                            "杀死 \(summary.killed)/\(summary.killed + summary.survived) 个变异体，等价 \(summary.equivalent) 个"),
                        summary.killed >= 9 * summary.survived ? .good : .bad))
        }
        let isEnough = summary.killed >= 9 * summary.survived
        return isEnough && result.stale.isEmpty ? .success : .notPassed
    }

    private static func lines(_ mutant: Mutant) -> [StyledText] {
        let head =
            StyledText("✘ ", .bad) + StyledText("Solutions/\(mutant.lesson)/\(mutant.file):\(mutant.line)", .strong)
            + StyledText("   \(mutant.kind)" + (mutant.occurrence > 1 ? "   #\(mutant.occurrence)" : ""), .quiet)
        func block(_ mark: String, _ text: String, _ style: Style) -> [StyledText] {
            text.split(separator: "\n", omittingEmptySubsequences: false).map { StyledText("    \(mark) \($0)", style) }
        }
        return [head] + block("-", mutant.before, .bad) + block("+", mutant.after, .good)
    }
}

private struct MutantSummary: Encodable {
    var lesson: String
    var killed: Int
    var survived: Int
    var equivalent: Int
    var notCompiling: Int
    var stale: Int

    init(_ lesson: String, _ result: MutantRun.Result) {
        self.lesson = lesson
        func count(_ fate: Mutant.Fate) -> Int { result.mutants.filter { $0.fate == fate }.count }
        killed = count(.killed)
        survived = count(.survived)
        equivalent = count(.equivalent)
        notCompiling = count(.notCompiling)
        stale = result.stale.count
    }
}
