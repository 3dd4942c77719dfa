/// Runs checks and turns what happens into verdicts.
import Course
import Foundation
import Sockets
import Wire

public struct Judge: Sendable {
    /// Whose code is judged, for a lesson's slug.
    public var program: @Sendable (_ slug: String) -> Program
    /// Random data of a check comes from this and its id.
    public var seed: UInt64

    public init(seed: UInt64 = Judge.environmentSeed, program: @escaping @Sendable (_ slug: String) -> Program) {
        self.seed = seed
        self.program = program
    }

    /// `LAB_SEED`, or a new one; the same for all checks that this process judges.
    public static let environmentSeed = seed(from: getenv("LAB_SEED").map { String(cString: $0) })

    static func seed(from text: String?) -> UInt64 {
        text.flatMap { UInt64($0) } ?? UInt64.random(in: 1..<1_000_000)
    }

    /// Judges several checks, `width` at a time.
    ///
    /// - Parameter report: called, from this thread, with each verdict as it comes, in no particular order.
    /// - Parameter began: called with a check's id, on its thread, when its turn has come.
    /// - Returns: the verdicts in the order of `checks`.
    @discardableResult
    public func judge(
        _ checks: [Check], of slug: String, points: [String: Int] = [:], width: Int = 4,
        report: (Verdict) -> Void = { _ in }, began: @escaping @Sendable (_ check: String) -> Void = { _ in }
    ) -> [Verdict] {
        var verdicts: [Int: Verdict] = [:]
        inParallel(count: checks.count, width: width) { index in
            began(checks[index].id)
            return judge(checks[index], of: slug, points: points[checks[index].id] ?? 1)
        } arrived: { index, verdict in
            verdicts[index] = verdict
            report(verdict)
        }
        return checks.indices.compactMap { verdicts[$0] }
    }

    /// Judges one check, on this thread.
    public func judge(_ check: Check, of slug: String, points: Int = 1) -> Verdict {
        let began = now()
        var verdict = Verdict(lesson: slug, check: check.id, status: .passed, points: points, seconds: 0, seed: seed)
        do {
            let trial = try Trial(program: program(slug), seed: seed ^ fingerprint(check.id))
            defer { trial.removeFolder() }
            do {
                defer { trial.stopPrograms() }
                do {
                    try check.body(trial)
                    try noticeTodo(trial)
                } catch { try settle(unlessWithoutIPv4(error, trial), check, trial, &verdict) }
            }
            verdict.trace = trial.trace
            verdict.output = trial.subjects.map { printedByStudent($0.output.text) }.joined()
            if verdict.output?.isEmpty == true { verdict.output = nil }
        } catch {
            verdict.status = .labError
            verdict.reason = "\(error)"
        }
        verdict.seconds = Double(now() - began) / 1e9
        return verdict
    }

    /// A check may find what it expects in a program that ended at a `todo()`: a closed connection, say.
    private func noticeTodo(_ trial: Trial) throws {
        for subject in trial.subjects {
            subject.catchUp()
            if let place = subject.reachedTodo { throw NotStarted(place: place) }
        }
    }

    /// Nearly all checks speak over 127.0.0.1. On a machine that has none, what goes wrong is not the program's fault.
    private func unlessWithoutIPv4(_ error: any Error, _ trial: Trial) -> any Error {
        if error is NotStarted { return error }
        do {
            try trial.needsLoopback("127.0.0.1")
            return error
        } catch let missing { return missing }
    }

    /// What an error means: not started, a failure with its report, or the lab's own trouble (thrown on).
    private func settle(_ error: any Error, _ check: Check, _ trial: Trial, _ verdict: inout Verdict) throws {
        var failure: Failure
        switch error {
        case let error as Unavailable:
            verdict.status = .skipped
            verdict.reason = error.reason
            return
        case let error as Failure: failure = error
        case let error as NotStarted:
            verdict.status = .notStarted
            verdict.place = error.place
            return
        case let error as ProgramEnded:
            failure = Failure(expected: error.expected, got: "")
        default: throw error
        }
        // A closed connection and the end of the process that closed it arrive on different lines: give the second a
        // moment, so that a crash is called a crash. It cannot change the verdict, only its words.
        let began = now()
        let used = trial.subjects.last?.cpuTime ?? 0
        for subject in trial.subjects where subject.hasEnded == nil && error is Failure {
            _ = subject.waitForEnding(until: Deadline(in: 0.3))
        }
        let loadNow = Double((trial.subjects.last?.cpuTime ?? 0) - used)
        if let place = trial.subjects.compactMap(\.reachedTodo).first {
            verdict.status = .notStarted
            verdict.place = place
            return
        }
        verdict.status = .failed
        verdict.report = report(&failure, check, trial, loadNow: loadNow / Double(max(1, now() - began)))
    }

    private func report(_ failure: inout Failure, _ check: Check, _ trial: Trial, loadNow: Double) -> Report {
        guard let subject = trial.subjects.last(where: \.hasEndedByItself) ?? trial.subjects.last else {
            return Report(
                expected: failure.expected, got: failure.got, difference: failure.difference, cause: failure.cause,
                detail: failure.detail)
        }
        subject.catchUp()
        let time = now()
        let timeline = subject.timeline
        let wall = Double(time - timeline.start)
        let evidence = Evidence(
            failure: failure, timeline: timeline.withoutRepeats, asked: subject.asked, ending: subject.hasEnded,
            returned: subject.serverStopped?.outcome,
            load: Double(subject.cpuTime) / max(wall, 1),
            loadNow: subject.hasEnded == nil ? loadNow : 0, output: subject.output, connections: trial.connections,
            now: time, answer: subject.nextAnswer?.outcome, stopAsked: subject.stopAsked)
        if failure.got.isEmpty { failure.got = evidence.endingText }
        // A crash may follow; of a program that is still there, what it did later has nothing to do with the failure.
        let seen = subject.hasEndedByItself ? time : failure.moment
        var report = Report(
            expected: failure.expected, got: failure.got, difference: failure.difference,
            calls: timeline.before(seen).excerpt(now: seen), cause: failure.cause, detail: failure.detail)
        for cause in evidence.ending?.signal == nil ? check.surest : [] {
            guard let detail = cause.find(evidence) else { continue }
            (report.cause, report.detail) = (cause.id, detail.isEmpty ? nil : detail)
            break
        }
        // A crash explains more than what was done before it; then what the check suspects; then the rest.
        let causes = check.suspects.filter(\.explainsCrash) + Cause.crashes + check.suspects + Cause.general
        for cause in causes where report.cause == nil {
            guard let detail = cause.find(evidence) else { continue }
            report.cause = cause.id
            report.detail = detail.isEmpty ? nil : detail
        }
        if evidence.ending?.signal != nil { report.crash = crashPlace(in: evidence.output.text) }
        return report
    }
}

/// FNV-1a: the same for the same id on every run.
private func fingerprint(_ text: String) -> UInt64 {
    text.utf8.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
}

extension HostReply {
    var outcome: PendingCall.Outcome? {
        switch self {
        case .returned(let value): return .returned(value)
        case .threw(let type, let name, let code, let description):
            return .threw(type: type, name: name, code: code, description: description)
        default: return nil
        }
    }
}

extension Evidence {
    fileprivate var endingText: String {
        if ending?.wroteToLab == true {
            return say("your program wrote to the lab's own line, and was ended", "程序写入了实验环境自己的通道，被结束")
        }
        if let signal = ending?.signal {
            return say("your program was ended by \(signalName(signal))", "程序因 \(signalName(signal)) 结束")
        }
        switch returned {
        case .returned?: return say("your server function returned", "服务器函数返回了")
        case .threw(_, _, _, let description)?:
            return say("your server function threw \(description)", "服务器函数抛出了 \(description)")
        case nil: break
        }
        if let code = ending?.code { return say("your program exited with code \(code)", "程序退出，退出码 \(code)") }
        return say("your program is gone", "程序已不在")
    }
}

/// What the program printed, without Swift's own report of a crash: the verdict says that better.
func printedByStudent(_ output: String) -> String {
    guard let report = output.range(of: "\n*** Signal ") else { return output }
    let before = output[..<report.lowerBound].split(separator: "\n", omittingEmptySubsequences: false)
    // The second comes where a busy machine does not let the other threads be stopped in time.
    return before.filter { !$0.contains(": Fatal error: ") && !$0.hasPrefix("swift-runtime: ") }.joined(separator: "\n")
}

/// The first line of a student's file in Swift's backtrace: `… at /…/Exercises/04-tcp/SendAll.swift:31:9`.
func crashPlace(in output: String) -> Place? {
    for line in output.split(separator: "\n") {
        guard let folder = line.range(of: "/Exercises/") ?? line.range(of: "/Solutions/") else { continue }
        let start = line[..<folder.lowerBound].lastIndex(of: " ").map { line.index(after: $0) } ?? line.startIndex
        let parts = line[start...].split(separator: ":")
        guard parts.count >= 2, let number = Int(parts[1].prefix { $0.isNumber }), !parts[0].hasSuffix("main.swift")
        else { continue }
        return Place(file: String(parts[0]), line: number)
    }
    return nil
}

extension Timeline {
    /// The calls that tell most: its last ones, and whatever is still blocked. What came several times in a row is one
    /// line, so that a program that turns in a circle shows how it came there.
    func excerpt(now: UInt64, most: Int = 6) -> [String] {
        let dull: Set = ["close", "getsockname", "fcntl", "setsockopt", "getsockopt", "sigaction", "signal"]
        let shown = calls.indices.filter { !dull.contains(calls[$0].name) || calls[$0].failed }
        var rows: [(index: Int, text: String, times: Int)] = []
        for index in shown.reversed() {
            let text = calls[index].text(now: now)
            if rows.last?.text == text {
                rows[rows.count - 1].times += 1
            } else if rows.count < most {
                rows.append((index, text, 1))
            } else {
                break
            }
        }
        let seen = shown.suffix(rows.reduce(0) { $0 + $1.times })
        for index in calls.indices where calls[index].isBlocked && !seen.contains(index) {
            rows.append((index, calls[index].text(now: now), 1))
        }
        rows = rows.sorted { $0.index < $1.index }.suffix(most + 2)
        let told = rows.reduce(0) { $0 + $1.times }
        let skipped = calls.count - told
        let lines = rows.map { row in
            row.text + (row.times > 1 ? say("   (\(row.times) times)", "   （\(row.times) 次）") : "")
        }
        return
            (skipped > 0 && shown.count > told
            ? [
                say(
                    skipped == 1 ? "… 1 call before or between" : "… \(skipped) calls before and between",
                    "……前面和中间还有 \(skipped) 个调用")
            ] : []) + lines
    }
}

extension Trial {
    /// Both sides in the order of time.
    var trace: [TraceLine] {
        let time = now()
        var lines = notes
        for subject in subjects {
            let timeline = subject.timeline
            let threads = Set(timeline.calls.map(\.thread))
            for call in timeline.calls.prefix(2000) {
                lines.append(
                    TraceLine(
                        at: (Double(call.effective) - Double(start)) / 1_000_000, side: .program,
                        text: call.text(now: time),
                        lane: threads.count > 1 ? "\(call.thread)" : nil))
            }
        }
        return lines.enumerated().sorted { ($0.element.at, $0.offset) < ($1.element.at, $1.offset) }.map(\.element)
    }
}

extension Call {
    /// Where it belongs beside what others did (ns): what waits for somebody belongs where it came back, below what it
    /// waited for; everything else where it began, above what came of it.
    fileprivate var effective: UInt64 {
        let waits = isReceive || isAccept || isWait || ["wait", "waitpid"].contains(name)
        return waits ? returned ?? entered : entered
    }
}
