import Course
import Foundation
import GraderKit
import LabCore
import Sockets
import Wire

extension Command {
    static let soak = Command(
        name: "soak",
        usage: ["[LESSON...] --runs N", "LESSON CHECK or EXERCISE... --runs N"],
        summary: Text(en: "run the graders again and again on the references", zh: "反复用参考实现检验评测"),
        details: Text(
            en:
                "A grader that fails a right program once in a thousand runs is wrong. Judges the reference solutions N times, "
                + "each time in a process of its own with other random data, and says how often each check failed. What is "
                + "known of each failure (seed, report, timeline, stacks of what hangs) is kept in .lab/soak. Ctrl-C ends it "
                + "and says what is known by then. Ends with 1 if any check failed once.\n"
                + "--low-descriptors lets the grader have 256 descriptors. --nice makes it give way to all other programs; waits "
                + "are four times as long then, as on any slow machine (LAB_TIME_SCALE). --ipv4-only and --ipv6-only run it in "
                + "a network namespace of that kind, with unshare(1) and ip(8).",
            zh: "一千次里冤枉正确程序一次的评测也是错的。用参考实现评 N 次，每次一个独立进程、一组新的随机数据，报告每项检查失败的比例。"
                + "每次失败的全部情况（种子、报告、时间线、卡住时的调用栈）保存在 .lab/soak。按 Ctrl-C 结束并报告到此为止的结果。"
                + "只要有一次失败，退出码就是 1。\n"
                + "--low-descriptors 只给评测程序 256 个描述符。--nice 让它给其他程序让路，等待时间放长到四倍，"
                + "就像在慢机器上那样（LAB_TIME_SCALE）。--ipv4-only 和 --ipv6-only 借助 unshare(1) 和 ip(8) 在相应的网络命名空间里运行。"),
        options: [
            OptionSpecification("--runs", value: "N", "how often (default 10)", "次数（默认 10）"),
            OptionSpecification("--load", "keep every core busy meanwhile", "同时让所有处理器核心都忙着"),
            OptionSpecification("--low-descriptors", "at most 256 descriptors for the grader", "评测程序最多 256 个描述符"),
            OptionSpecification("--nice", "with a low priority", "低优先级运行"),
            OptionSpecification("--ipv4-only", "on a host without IPv6", "在没有 IPv6 的主机上"),
            OptionSpecification("--ipv6-only", "on a host without IPv4", "在没有 IPv4 的主机上"),
            OptionSpecification("--jobs", value: "N", "runs at a time (default 1)", "同时进行的次数（默认 1）"),
            OptionSpecification(
                "--patience", value: "SECONDS", "without news: it hangs (default 300)", "多久没有消息算卡住（默认 300）"),
            OptionSpecification("--json", "one JSON object a failure, then the rates", "每次失败一个 JSON 对象，最后是比例"),
        ],
        examples: [
            Example("lab soak --runs 200 --load", "all graders, with busy cores", "所有评测，处理器忙"),
            Example("lab soak 04 two-clients --runs 1000", "a single check", "单独一项检查"),
        ],
        words: 0...99
    ) { invocation in try SoakCommand(invocation).run() }
}

extension Invocation {
    /// The whole number above 0 that an option has; nil if it is not there.
    func count(_ option: String) throws(CommandError) -> Int? {
        guard let text = arguments.options[option] else { return nil }
        guard let number = Int(text), number > 0 else {
            throw .usage(say("\(option) takes a number above 0, not \(text).", "\(option) 要一个正整数，而不是 \(text)。"))
        }
        return number
    }
}

/// `lab soak`: asks for the runs, tells of failures as they come, and of the rates at the end or when it is interrupted.
private struct SoakCommand {
    let invocation: Invocation
    let soak: Soak
    let began = Date()

    init(_ invocation: Invocation) throws {
        self.invocation = invocation
        let workspace = try invocation.workspace()
        let catalogue = try workspace.catalogue()
        guard let executable = executablePath() else {
            throw CommandError.failure(say("The lab cannot find itself.", "找不到 lab 程序自己。"))
        }
        var conditions = SoakConditions()
        conditions.load = invocation.has("--load")
        conditions.grader.descriptors = invocation.has("--low-descriptors") ? 256 : nil
        conditions.grader.nice = invocation.has("--nice") ? 10 : nil
        switch (invocation.has("--ipv4-only"), invocation.has("--ipv6-only")) {
        case (true, true):
            throw CommandError.usage(
                say("--ipv4-only or --ipv6-only, not both.", "--ipv4-only 和 --ipv6-only 只能用一个。"))
        case (true, false): conditions.grader.network = .ipv4Only
        case (false, true): conditions.grader.network = .ipv6Only
        case (false, false): conditions.grader.network = nil
        }
        if conditions.grader.network != nil, let missing = ["unshare", "ip"].first(where: { which($0) == nil }) {
            throw CommandError.failure(
                say("\(missing) is not installed; this option needs it.", "没有安装 \(missing)，这个选项要用到它。"))
        }
        if conditions.grader.nice != nil, ProcessInfo.processInfo.environment["LAB_TIME_SCALE"] == nil {
            setenv("LAB_TIME_SCALE", "4", 1)
        }
        let clock = DateFormatter()
        clock.locale = Locale(identifier: "en_US_POSIX")
        clock.dateFormat = "yyyyMMdd-HHmmss"
        soak = Soak(
            try Self.selections(invocation.words, catalogue), runs: try invocation.count("--runs") ?? 10,
            conditions: conditions, jobs: try invocation.count("--jobs") ?? 1,
            patience: Double(try invocation.count("--patience") ?? 300),
            folder: workspace.state.appendingPathComponent("soak/\(clock.string(from: Date()))-\(getpid())"),
            executable: executable,
            text: VerdictText(catalogue: catalogue, workspace: workspace, width: 80, reference: true))
    }

    /// Several lessons, `04 05`, or what `lab check` takes.
    private static func selections(_ words: [String], _ catalogue: Catalogue) throws(CommandError) -> [Selection] {
        let isNumber = { (word: String) in Int(word) != nil }
        guard words.count > 1, words.allSatisfy(isNumber) else { return try catalogue.select(words) }
        var all: [Selection] = []
        for word in words { all += try catalogue.select([word]) }
        return all
    }

    func run() throws -> ExitCode {
        let removeTemporaries = TemporaryFolder.install()
        // Added first, so that it runs when the runs that were under way are ended.
        let cleanup = Interrupts.add { show(soak.result, wasInterrupted: true) }
        let activity = Activity(invocation.console)
        defer {
            activity.end()
            Interrupts.remove(cleanup)
            removeTemporaries()
        }
        activity.now(say("the first run", "第一次运行"))
        var lastWord = Date()
        let result = try soak.run { progress, troubles in
            activity.around { for trouble in troubles { show(trouble) } }
            let text =
                say(
                    "\(progress.done) of \(progress.of) runs, \(progress.failures) failures",
                    "已运行 \(progress.done)/\(progress.of) 次，失败 \(progress.failures) 项次")
            activity.now(text)
            // In a log a line now and then tells that it is alive.
            if !invocation.console.errorIsTerminal, Date().timeIntervalSince(lastWord) >= 60 {
                lastWord = Date()
                invocation.console.complain("\(text), \(duration(Date().timeIntervalSince(began)))")
            }
        }
        activity.end()
        show(result, wasInterrupted: false)
        return result.isClean ? .success : .notPassed
    }

    private func show(_ trouble: SoakResult.Trouble) {
        if invocation.has("--json") { return showJSON("failure", trouble) }
        let name = "\(trouble.lesson.prefix(2)) \(trouble.check.isEmpty ? say("the run", "整次运行") : trouble.check)"
        invocation.console.print(
            StyledText("✘ ", .bad) + StyledText(name, .strong)
                + StyledText(
                    "   \(trouble.ending.rawValue)   " + say("run \(trouble.run)", "第 \(trouble.run) 次")
                        + "   --seed \(trouble.seed)   ", .quiet) + StyledText(trouble.file ?? "", .quiet))
    }

    private func show(_ result: SoakResult, wasInterrupted: Bool) {
        let rates = result.order.map { SoakRate($0, result.counts[$0] ?? .init()) }
        if invocation.has("--json") {
            let report = SoakReport(
                runs: soak.runs, interrupted: wasInterrupted, conditions: result.conditions,
                seconds: Date().timeIntervalSince(began), failures: result.troubles.count, checks: rates)
            return showJSON("soak", report)
        }
        let failing = rates.filter { $0.failures > 0 }
        let names = rates.map { displayWidth($0.check) }.max() ?? 0
        var lines = [StyledText()]
        for rate in failing {
            lines.append(
                StyledText("✘ ", .bad) + StyledText("\(rate.lesson.prefix(2)) ", .quiet)
                    + StyledText(rate.check.padded(to: names), .strong)
                    + StyledText("   \(rate.failures)/\(rate.runs)   \(percent(rate.rate))", .bad))
        }
        for rate in rates where rate.runs == 0 {
            let reason = rate.reason ?? say("never run", "没有运行")
            lines.append(
                StyledText(
                    "– \(rate.lesson.prefix(2)) \(rate.check.padded(to: names))   \(reason)", .quiet))
        }
        let clean = rates.filter { $0.failures == 0 && $0.runs > 0 }
        let judged = rates.map(\.runs).reduce(0, +)
        if let slowest = rates.max(by: { $0.slowest < $1.slowest }), slowest.slowest > 0 {
            lines.append(
                StyledText(
                    "  "
                        + say(
                            "slowest: \(slowest.lesson.prefix(2)) \(slowest.check), \(duration(slowest.slowest))",
                            "最慢：\(slowest.lesson.prefix(2)) \(slowest.check)，\(duration(slowest.slowest))"), .quiet))
        }
        lines.append(
            StyledText(
                say(
                    "\(judged) verdicts in \(result.rounds) runs: \(clean.count) checks never failed, \(failing.count) did",
                    "\(result.rounds) 次运行共 \(judged) 个结果：\(clean.count) 项检查从未失败，\(failing.count) 项失败过"),
                result.isClean ? .good : .bad)
                + StyledText(
                    "   \(duration(Date().timeIntervalSince(began)))"
                        + (wasInterrupted ? say("   interrupted", "   被中断") : ""), .quiet))
        invocation.console.print(lines)
    }

    private func percent(_ rate: Double) -> String {
        let hundredths = Int((rate * 10_000).rounded(.up))
        return "\(hundredths / 100).\(hundredths % 100 < 10 ? "0" : "")\(hundredths % 100) %"
    }

    private func showJSON(_ event: String, _ body: some Encodable) {
        do { invocation.console.print(try jsonLine(event: event, body)) } catch {
            invocation.console.complain("\(error)")
        }
    }
}

private struct SoakRate: Encodable {
    var lesson: String
    var check: String
    var runs: Int
    var failures: Int
    var rate: Double
    var slowest: Double
    /// How often each ending came.
    var endings: [String: Int]
    var reason: String?

    init(_ key: SoakResult.Key, _ count: SoakResult.Count) {
        lesson = key.lesson
        check = key.check
        runs = count.runs
        failures = count.failures
        rate = runs > 0 ? Double(failures) / Double(runs) : 0
        slowest = count.slowest
        endings = Dictionary(uniqueKeysWithValues: count.endings.map { ($0.key.rawValue, $0.value) })
        reason = count.reason
    }
}

private struct SoakReport: Encodable {
    var runs: Int
    var interrupted: Bool
    var conditions: SoakConditions
    var seconds: Double
    var failures: Int
    var checks: [SoakRate]
}
