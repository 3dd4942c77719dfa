// The graders again and again: does a check ever fail a program that is right? Each run is a process of its own
// (`lab judge`), so that one that hangs or dies is seen from outside, looked at, and ended.
//
// Owns the queue of runs and what they came to. `GraderProcess` is one of them; `Burners` keep the cores busy.
import Course
import Foundation
import GraderKit
import Synchronization

/// What makes the runs harder than usual.
public struct SoakConditions: Codable, Equatable, Sendable {
    /// Threads that do nothing but compute, one a core, all the time.
    public var load = false
    public var grader = GraderConditions()

    public init() {}
}

public final class Soak: Sendable {
    public let selections: [Selection]
    public let runs: Int
    public let conditions: SoakConditions
    /// Runs at a time.
    public let jobs: Int
    /// Seconds without news from a run after which it hangs.
    public let patience: Double
    /// Where failures are kept.
    public let folder: URL
    let executable: String
    let text: VerdictText
    private let state: Mutex<State>

    private struct State {
        var finished = 0
        /// A run that ends early was ended by us.
        var isStopping = false
        var counts: [SoakResult.Key: SoakResult.Count] = [:]
        var troubles: [SoakResult.Trouble] = []
        var error: CommandError?
    }

    /// - Parameter executable: `lab`.
    /// - Parameter text: how verdicts are written down.
    public init(
        _ selections: [Selection], runs: Int, conditions: SoakConditions, jobs: Int, patience: Double, folder: URL,
        executable: String, text: VerdictText
    ) {
        self.selections = selections.filter { !$0.checks.isEmpty }
        self.runs = runs
        self.conditions = conditions
        self.jobs = max(1, jobs)
        self.patience = patience
        self.folder = folder
        self.executable = executable
        self.text = text
        state = Mutex(State())
    }

    public struct Progress: Sendable {
        public var done: Int
        public var of: Int
        /// Of all checks in all runs so far.
        public var failures: Int
    }

    /// Runs all of it. An interrupt ends the runs that are under way and leaves `result` as it is then.
    ///
    /// - Parameter progress: called from this thread after each run, with what went wrong in it.
    public func run(progress: (Progress, [SoakResult.Trouble]) -> Void) throws(CommandError) -> SoakResult {
        let total = runs * selections.count
        let burners = conditions.load ? Burners() : nil
        defer { burners?.stop() }
        var done = 0
        inParallel(count: total, width: jobs) { [self] index in
            one(index)
        } arrived: { _, troubles in
            done += 1
            progress(Progress(done: done, of: total, failures: failures), troubles)
        }
        if let error = state.withLock({ $0.error }) { throw error }
        return result
    }

    /// What is known by now.
    public var result: SoakResult {
        state.withLock { state in
            SoakResult(
                conditions: conditions, rounds: state.finished, counts: state.counts, troubles: state.troubles,
                order: selections.flatMap { selection in
                    selection.checks.map { SoakResult.Key(lesson: selection.lesson.slug, check: $0.id) }
                })
        }
    }

    private var failures: Int { state.withLock { $0.troubles.count } }

    /// All lessons once, then all of them again: what is wrong in any shows early.
    private func one(_ index: Int) -> [SoakResult.Trouble] {
        guard state.withLock({ !$0.isStopping && $0.error == nil }) else { return [] }
        let (round, selection) = (index / selections.count + 1, selections[index % selections.count])
        let seed = UInt64.random(in: 1..<1_000_000)
        let outcome: GraderProcess.Outcome
        do throws(CommandError) {
            outcome = try GraderProcess(
                lab: executable, lesson: selection.lesson, checks: selection.checks.map(\.id), seed: seed,
                conditions: conditions.grader, patience: patience
            ).run(interrupted: { [self] in state.withLock { $0.isStopping = true } })
        } catch {
            state.withLock { $0.error = $0.error ?? error }
            return []
        }
        guard !state.withLock({ $0.isStopping }) else { return [] }
        var troubles: [SoakResult.Trouble] = []
        for check in selection.checks {
            let key = SoakResult.Key(lesson: selection.lesson.slug, check: check.id)
            let verdict = outcome.verdicts[check.id]
            let ending = SoakResult.Ending(verdict, began: outcome.began.contains(check.id), outcome.ending)
            state.withLock { $0.counts[key, default: .init()].add(ending, verdict) }
            guard ending.isTrouble else { continue }
            var trouble = SoakResult.Trouble(
                lesson: key.lesson, check: key.check, ending: ending, run: round, seed: seed)
            trouble.file = keep(trouble, verdict, outcome)
            troubles.append(trouble)
        }
        // It judged everything, and still did not end as it should.
        if troubles.isEmpty, outcome.ending != .exited(0) {
            var trouble = SoakResult.Trouble(
                lesson: selection.lesson.slug, check: "", ending: .died, run: round, seed: seed)
            trouble.file = keep(trouble, nil, outcome)
            troubles.append(trouble)
        }
        state.withLock { state in
            state.troubles += troubles
            state.finished += 1
        }
        return troubles
    }

    /// Writes down all that is known of a failure.
    private func keep(_ trouble: SoakResult.Trouble, _ verdict: Verdict?, _ outcome: GraderProcess.Outcome) -> String? {
        let name =
            [trouble.lesson, trouble.check, "run\(trouble.run)"].filter { !$0.isEmpty }.joined(separator: "-") + ".txt"
        let seed = "--seed \(trouble.seed)"
        var lines = [
            "lab check \(trouble.lesson.prefix(2)) \(trouble.check) --solution \(seed)",
            "\(trouble.ending.rawValue); the run \(outcome.ending.text)", "",
        ]
        if let verdict {
            lines += text.lines(verdict).map(\.plain) + [""]
            lines += TraceText(width: 140, program: say("reference", "参考实现")).lines(verdict.trace).map(\.plain) + [""]
        }
        let missing = outcome.began.subtracting(outcome.verdicts.keys).sorted()
        if !missing.isEmpty { lines += ["begun and not finished: " + missing.joined(separator: ", "), ""] }
        if let autopsy = outcome.autopsy { lines += ["where it was:", autopsy, ""] }
        if !outcome.errors.isEmpty { lines += ["standard error:", outcome.errors, ""] }
        let file = folder.appendingPathComponent(name)
        do throws(CommandError) {
            try writeAtomically(Data(lines.joined(separator: "\n").utf8), to: file)
        } catch {
            state.withLock { $0.error = $0.error ?? error }
            return nil
        }
        return file.path
    }
}
