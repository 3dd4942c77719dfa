// Grades the bank of mistakes: what graders say of each program, against what they must say.
import Course
import Foundation
import GraderKit
import Synchronization

/// What came of one program.
public struct BankVerdict: Codable, Sendable {
    public var lesson: String
    public var name: String
    public var isRight: Bool
    /// Every check that must fail failed; of a right program: none did.
    public var isCaught = false
    /// … and gave the cause that it must.
    public var isNamed = false
    /// What is wrong, a sentence each; empty if graders said what they must.
    public var problems: [String] = []
    /// The checks that failed, with the causes that they gave.
    public var failed: [String: String?] = [:]
    public var seconds = 0.0

    public var isGood: Bool { problems.isEmpty }
}

public struct BankRun: Sendable {
    let workspace: Workspace
    let catalogue: Catalogue
    /// `lab`.
    let lab: String
    let seed: UInt64
    /// Programs at a time.
    let jobs: Int
    /// Where programs are built, and reports are left.
    let folder: URL

    public init(
        _ workspace: Workspace, _ catalogue: Catalogue, lab: String, seed: UInt64, jobs: Int
    ) {
        self.workspace = workspace
        self.catalogue = catalogue
        self.lab = lab
        self.seed = seed
        self.jobs = jobs
        folder = workspace.state.appendingPathComponent("mistakes")
    }

    /// Grades these programs, all of one lesson.
    ///
    /// - Parameter stage: called, from any thread, with what is going on.
    /// - Parameter report: called, from this thread, with each program's verdict as it comes.
    public func run(
        _ programs: [BankProgram], of lesson: Catalogue.Lesson, stage: @escaping @Sendable (String) -> Void,
        report: (BankProgram, BankVerdict) -> Void
    ) throws(CommandError) {
        stage(say("\(lesson.slug): building", "\(lesson.slug)：编译"))
        let builder = try ProgramBuilder(workspace, lesson, in: folder.appendingPathComponent(lesson.slug))
        let trouble = Mutex<CommandError?>(nil)
        var done = 0
        inParallel(count: programs.count, width: jobs) { index -> BankVerdict? in
            guard trouble.withLock({ $0 == nil }) else { return nil }
            do throws(CommandError) { return try grade(programs[index], builder) } catch {
                trouble.withLock { $0 = $0 ?? error }
                return nil
            }
        } arrived: { index, verdict in
            done += 1
            stage(
                say(
                    "\(lesson.slug): \(done) of \(programs.count) programs",
                    "\(lesson.slug)：已完成 \(done)/\(programs.count) 个程序"))
            if let verdict { report(programs[index], verdict) }
        }
        if let error = trouble.withLock({ $0 }) { throw error }
    }

    private func grade(_ program: BankProgram, _ builder: ProgramBuilder) throws(CommandError) -> BankVerdict {
        let began = Date()
        var verdict = BankVerdict(lesson: program.lesson.slug, name: program.name, isRight: program.isRight)
        defer { verdict.seconds = Date().timeIntervalSince(began) }
        switch try builder.build(program.name, files: program.files) {
        case .broken(let output):
            verdict.problems = [say("does not compile:", "编译不通过：") + "\n" + output]
        case .built(let executable):
            var outcome = try run(program, executable, program.lesson.checks.map(\.id), width: 6, timeScale: nil)
            // Waits are short here and the machine is busy with us: what is not as expected is asked again, patiently and
            // alone. (Whether graders flicker is for `lab soak` to find.)
            let doubtful = doubts(program, outcome)
            if !doubtful.isEmpty {
                let again = try run(program, executable, doubtful, width: 1, timeScale: 1)
                outcome.verdicts.merge(again.verdicts) { _, second in second }
                if again.ending == .hung { outcome.ending = .hung }
                outcome.errors += again.errors
                outcome.autopsy = again.autopsy
            }
            judge(program, outcome, &verdict)
            try keep(program, outcome, verdict, builder)
        }
        return verdict
    }

    /// Writes the reports of these wrong programs, in this language, beside them. Sets the language for all of `lab`.
    public func updateReports(
        _ programs: [BankProgram], of lesson: Catalogue.Lesson, in language: Language,
        stage: @escaping @Sendable (String) -> Void
    ) throws(CommandError) {
        let builder = try ProgramBuilder(workspace, lesson, in: folder.appendingPathComponent(lesson.slug))
        Language.current = language
        let wrong = programs.filter { !$0.isRight }
        let trouble = Mutex<CommandError?>(nil)
        var done = 0
        inParallel(count: wrong.count, width: jobs) { index in
            do throws(CommandError) { try updateReport(wrong[index], language, builder) } catch {
                trouble.withLock { $0 = $0 ?? error }
            }
        } arrived: { (_, _: Void) in
            done += 1
            stage("\(lesson.slug) \(language.rawValue): \(done)/\(wrong.count)")
        }
        if let error = trouble.withLock({ $0 }) { throw error }
    }

    private func updateReport(
        _ program: BankProgram, _ language: Language, _ builder: ProgramBuilder
    ) throws(CommandError) {
        guard case .wrong(let mistake) = program.kind, let check = mistake.fails.first,
            case .built(let executable) = try builder.build(program.name, files: program.files)
        else { return }
        let outcome = try GraderProcess(
            lab: lab, lesson: program.lesson, checks: [check], seed: seed, program: executable, language: language,
            timeScale: 1, width: 1, patience: 120
        ).run()
        guard let verdict = outcome.verdicts[check], verdict.status == .failed else {
            throw .failure(
                say(
                    "\(program.lesson.slug)/\(program.name): \(check) did not fail; nothing was written.",
                    "\(program.lesson.slug)/\(program.name)：\(check) 没有失败，报告未写。"))
        }
        let text = GoldenReport.text(verdict, catalogue, builder.place(of: program.name))
        try writeAtomically(Data(text.utf8), to: program.folder.appendingPathComponent(GoldenReport.name(language)))
    }

    private func run(
        _ program: BankProgram, _ executable: String, _ checks: [String], width: Int, timeScale: Double?
    ) throws(CommandError) -> GraderProcess.Outcome {
        try GraderProcess(
            lab: lab, lesson: program.lesson, checks: checks, seed: seed, program: executable, timeScale: timeScale,
            width: width, patience: 120
        ).run()
    }

    /// The checks whose verdicts are not those that they must be.
    private func doubts(_ program: BankProgram, _ outcome: GraderProcess.Outcome) -> [String] {
        program.lesson.checks.map(\.id).filter { check in
            guard let found = outcome.verdicts[check] else { return true }
            guard case .wrong(let mistake) = program.kind, mistake.fails.contains(check) else {
                if case .wrong(let mistake) = program.kind, mistake.may.contains(check) { return false }
                return found.status != .passed && found.status != .skipped
            }
            return found.status == .failed
                ? found.report?.cause != mistake.causes[check] : found.status != .skipped
        }
    }

    private func judge(_ program: BankProgram, _ outcome: GraderProcess.Outcome, _ verdict: inout BankVerdict) {
        for check in program.lesson.checks.map(\.id) {
            switch outcome.verdicts[check]?.status {
            case .failed?: verdict.failed[check] = .some(outcome.verdicts[check]?.report?.cause)
            case .passed?, .skipped?: break
            case .notStarted?: verdict.problems.append(say("\(check): not started", "\(check)：还没开始"))
            case .labError?:
                let reason = outcome.verdicts[check]?.reason ?? ""
                verdict.problems.append(say("\(check): lab error: \(reason)", "\(check)：实验环境出错：\(reason)"))
            case nil:
                verdict.problems.append(
                    say("\(check): no verdict, the grader \(outcome.ending.text)", "\(check)：没有结果，评测程序异常"))
            }
        }
        guard case .wrong(let mistake) = program.kind else {
            let failed = program.lesson.checks.map(\.id).filter { verdict.failed.keys.contains($0) }
            verdict.problems += failed.map { say("\($0): failed, though it is right", "\($0)：程序是对的，却没通过") }
            verdict.isCaught = failed.isEmpty
            verdict.isNamed = failed.isEmpty
            return
        }
        verdict.isCaught = true
        verdict.isNamed = true
        for check in mistake.fails {
            guard let cause = verdict.failed[check] else {
                // What this machine cannot check, it cannot catch.
                if outcome.verdicts[check]?.status == .skipped { continue }
                verdict.isCaught = false
                verdict.isNamed = false
                verdict.problems.append(say("\(check): escaped", "\(check)：漏过"))
                continue
            }
            let wanted = mistake.causes[check]
            if cause != wanted {
                verdict.isNamed = false
                verdict.problems.append(
                    say(
                        "\(check): named \(cause ?? "nothing"), not \(wanted ?? "")",
                        "\(check)：原因报成 \(cause ?? "无")，应为 \(wanted ?? "")"))
            }
        }
        let allowed = mistake.may.union(mistake.fails)
        for check in program.lesson.checks.map(\.id) where verdict.failed.keys.contains(check) {
            guard !allowed.contains(check) else { continue }
            let cause = verdict.failed[check].flatMap { $0 } ?? "–"
            verdict.problems.append(
                say("\(check): failed (\(cause)), and should pass", "\(check)：不该失败（\(cause)）"))
        }
    }

    /// All failures as the student would see them, beside the program.
    private func keep(
        _ program: BankProgram, _ outcome: GraderProcess.Outcome, _ verdict: BankVerdict, _ builder: ProgramBuilder
    ) throws(CommandError) {
        let place = builder.place(of: program.name)
        let text = VerdictText(catalogue: catalogue, workspace: place, width: 80)
        var lines: [String] = verdict.problems + [""]
        for check in program.lesson.checks {
            guard let found = outcome.verdicts[check.id], found.status != .passed else { continue }
            lines += text.lines(found).map(\.plain) + [""]
        }
        if let autopsy = outcome.autopsy { lines += [autopsy, ""] }
        if !outcome.errors.isEmpty { lines += [outcome.errors] }
        try writeAtomically(
            Data(lines.joined(separator: "\n").utf8), to: place.root.appendingPathComponent("report.txt"))
    }
}
