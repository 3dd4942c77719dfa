import Course
import Foundation
import GraderKit
import LabCore
import Synchronization

extension Command {
    static let mistakes = Command(
        name: "mistakes",
        usage: ["[LESSON [NAME...]]"],
        summary: Text(en: "grade the bank of mistakes: do graders catch them?", zh: "用错误程序库检验评测：抓得住吗？"),
        details: Text(
            en:
                "Tests/Mistakes holds wrong programs, with the checks that must fail and the cause that the report must name, and "
                + "right programs in other styles, which must pass. Builds and grades them all, and says what escaped, what was "
                + "misnamed, and which checks and causes no program of the bank reaches; a check that all servers share is reached "
                + "if a program of any lesson must fail it. Full reports are left in .lab/mistakes. "
                + "Waits are shorter than usual, 4 s, unless LAB_TIME_SCALE says otherwise.",
            zh: "Tests/Mistakes 里有错误程序，写明哪些检查必须失败、报告必须指出什么原因；还有写法不同的正确程序，必须全部通过。"
                + "本命令编译并评判所有程序，报告漏过的、原因说错的，以及没有任何程序触及的检查和原因；"
                + "各种服务器共有的检查，只要有一课的程序必须在它上面失败，就算触及。完整报告在 .lab/mistakes。"
                + "等待时间比平时短（4 秒），除非设置了 LAB_TIME_SCALE。"),
        options: [
            OptionSpecification("--jobs", value: "N", "programs at a time", "同时评几个程序"),
            OptionSpecification("--seed", value: "N", "random data (default 1)", "随机数据（默认 1）"),
            OptionSpecification(
                "--update", "write the reports that are kept beside the programs", "重写保存在程序旁边的报告"),
            OptionSpecification("--json", "one JSON object a program, then a summary", "每个程序一个 JSON 对象，最后是小结"),
        ],
        examples: [
            Example("lab mistakes", "the whole bank", "整个库"),
            Example("lab mistakes 04", "one lesson", "一课"),
            Example("lab mistakes 04 short-send", "one program, with what failed", "一个程序，并列出没通过的检查"),
        ],
        words: 0...99
    ) { invocation in try MistakesCommand(invocation).run() }
}

private struct MistakesCommand {
    let invocation: Invocation
    let workspace: Workspace
    let catalogue: Catalogue
    let json: Bool

    init(_ invocation: Invocation) throws {
        self.invocation = invocation
        workspace = try invocation.workspace()
        catalogue = try workspace.catalogue()
        json = invocation.has("--json")
        if ProcessInfo.processInfo.environment["LAB_TIME_SCALE"] == nil { setenv("LAB_TIME_SCALE", "0.4", 1) }
    }

    func run() throws -> ExitCode {
        let bank = try Bank.read(workspace, catalogue)
        let lessons = try invocation.words.first.map { [try catalogue.find(lesson: $0)] } ?? catalogue.lessons
        let names = Array(invocation.words.dropFirst())
        for name in names where !bank.programs.contains(where: { $0.lesson.slug == lessons[0].slug && $0.name == name })
        {
            throw CommandError.usage(
                say(
                    "There is no program \(name) in Tests/Mistakes/\(lessons[0].slug). Its folders are the programs.",
                    "Tests/Mistakes/\(lessons[0].slug) 里没有程序 \(name)。每个程序是其中一个文件夹。"))
        }
        guard let lab = executablePath() else {
            throw CommandError.failure(say("The lab cannot find itself.", "找不到 lab 程序自己。"))
        }
        let removeTemporaries = TemporaryFolder.install()
        let activity = Activity(invocation.console)
        defer {
            activity.end()
            removeTemporaries()
        }
        let seed = try invocation.seed() ?? 1
        let jobs = try invocation.count("--jobs") ?? 2 * ProcessInfo.processInfo.activeProcessorCount
        let run = BankRun(workspace, catalogue, lab: lab, seed: seed, jobs: jobs)
        if invocation.has("--update") {
            let chosen = bank.programs.filter { names.isEmpty || names.contains($0.name) }
            try update(run, chosen, lessons, activity)
            return .success
        }
        // Nil once it is interrupted: builds that are cut off then say nothing of their programs.
        let known = Mutex<[BankVerdict]?>([])
        let console = invocation.console
        let toldIfInterrupted = Interrupts.add {
            let verdicts = known.withLock { known in
                defer { known = nil }
                return known ?? []
            }
            activity.end()
            console.complain(
                say(
                    "interrupted: \(verdicts.count) programs were judged, \(verdicts.filter { !$0.isGood }.count) not as "
                        + "they must be",
                    "被中断：评了 \(verdicts.count) 个程序，其中 \(verdicts.filter { !$0.isGood }.count) 个结果不符"))
        }
        defer { Interrupts.remove(toldIfInterrupted) }
        for lesson in lessons {
            let programs = bank.programs.filter {
                $0.lesson.slug == lesson.slug && (names.isEmpty || names.contains($0.name))
            }
            guard !programs.isEmpty else { continue }
            let began = Date()
            var verdicts: [BankVerdict] = []
            try run.run(programs, of: lesson, stage: { activity.now($0) }) { program, verdict in
                verdicts.append(verdict)
                let counts = known.withLock { known in
                    known?.append(verdict)
                    return known != nil
                }
                if counts { activity.around { show(verdict, detailed: !names.isEmpty) } }
            }
            let total = BankSummary(lesson.slug, verdicts, seconds: Date().timeIntervalSince(began))
            activity.around { show(total) }
        }
        activity.end()
        let all = known.withLock { $0 } ?? []
        if names.isEmpty { showGaps(all, lessons, bank) }
        return all.allSatisfy(\.isGood) ? .success : .notPassed
    }

    private func update(
        _ run: BankRun, _ programs: [BankProgram], _ lessons: [Catalogue.Lesson], _ activity: Activity
    ) throws {
        let before = Language.current
        defer { Language.current = before }
        for language in Language.allCases {
            for lesson in lessons {
                let own = programs.filter { $0.lesson.slug == lesson.slug }
                if !own.isEmpty { try run.updateReports(own, of: lesson, in: language, stage: { activity.now($0) }) }
            }
        }
    }

    private func show(_ verdict: BankVerdict, detailed: Bool) {
        if json { return showJSON("program", verdict) }
        guard !verdict.isGood || detailed else { return }
        let console = invocation.console
        console.print(
            StyledText(verdict.isGood ? "✔ " : "✘ ", verdict.isGood ? .good : .bad)
                + StyledText("\(verdict.lesson.prefix(2)) ", .quiet) + StyledText(verdict.name, .strong)
                + StyledText("   .lab/mistakes/\(verdict.lesson)/\(verdict.name)/report.txt", .quiet))
        for problem in verdict.problems {
            for line in problem.split(separator: "\n") { console.print(StyledText("     \(line)")) }
        }
        guard detailed else { return }
        for (check, cause) in verdict.failed.sorted(by: { $0.key < $1.key }) {
            console.print(StyledText("     \(check.padded(to: 28))  \(cause ?? "–")", .quiet))
        }
    }

    private func show(_ total: BankSummary) {
        if json { return showJSON("lesson", total) }
        let good = total.caught == total.wrong && total.named == total.wrong && total.accepted == total.right
        invocation.console.print(
            StyledText("\(total.lesson.padded(to: 17))", .strong)
                + StyledText(
                    say(
                        "\(total.caught)/\(total.wrong) caught, \(total.named) with the right cause, "
                            + "\(total.accepted)/\(total.right) right ones accepted",
                        "抓住 \(total.caught)/\(total.wrong)，原因正确 \(total.named)，接受正确程序 "
                            + "\(total.accepted)/\(total.right)"), good ? .good : .bad)
                + StyledText("   \(duration(total.seconds))", .quiet))
    }

    /// Checks that nothing in the bank fails, and causes that nothing makes a report name.
    private func showGaps(_ verdicts: [BankVerdict], _ lessons: [Catalogue.Lesson], _ bank: Bank) {
        // The code of such a check is the same in all lessons.
        let shared = Set(
            bank.programs.flatMap { program -> [String] in
                guard case .wrong(let mistake) = program.kind else { return [] }
                return program.lesson.checks.filter { mistake.fails.contains($0.id) }.compactMap(\.common)
            })
        var idle: [String: [String]] = [:]
        for lesson in lessons {
            let failed = Set(verdicts.filter { $0.lesson == lesson.slug && !$0.isRight }.flatMap(\.failed.keys))
            let missing = lesson.checks.filter { check in
                !failed.contains(check.id) && !(check.common.map(shared.contains) ?? false)
            }.map(\.id)
            if !missing.isEmpty && missing.count < lesson.checks.count { idle[lesson.slug] = missing }
        }
        let named = Set(verdicts.flatMap { $0.failed.values.compactMap { $0 } })
        // A part of the bank says little about all causes.
        let unnamed =
            lessons.count == catalogue.lessons.count ? catalogue.causes.keys.filter { !named.contains($0) } : []
        if json { return showJSON("gaps", BankGaps(checks: idle, causes: unnamed.sorted())) }
        let console = invocation.console
        for (lesson, checks) in idle.sorted(by: { $0.key < $1.key }) {
            let text = say("\(lesson): no mistake fails ", "\(lesson)：没有错误程序让这些检查失败：") + checks.joined(separator: ", ")
            console.print(StyledText(text, .quiet).wrapped(to: console.width, hanging: 4))
        }
        guard !unnamed.isEmpty else { return }
        let text = say("never named: ", "从未报出的原因：") + unnamed.sorted().joined(separator: ", ")
        console.print(StyledText(text, .quiet).wrapped(to: console.width, hanging: 4))
    }

    private func showJSON(_ event: String, _ body: some Encodable) {
        do { invocation.console.print(try jsonLine(event: event, body)) } catch {
            invocation.console.complain("\(error)")
        }
    }
}

private struct BankSummary: Encodable {
    var lesson: String
    var wrong: Int
    var caught: Int
    var named: Int
    var right: Int
    var accepted: Int
    var seconds: Double

    init(_ lesson: String, _ verdicts: [BankVerdict], seconds: Double) {
        self.lesson = lesson
        self.seconds = seconds
        wrong = verdicts.filter { !$0.isRight }.count
        caught = verdicts.filter { !$0.isRight && $0.isCaught }.count
        named = verdicts.filter { !$0.isRight && $0.isNamed }.count
        right = verdicts.filter(\.isRight).count
        accepted = verdicts.filter { $0.isRight && $0.isCaught }.count
    }
}

private struct BankGaps: Encodable {
    var checks: [String: [String]]
    var causes: [String]
}
