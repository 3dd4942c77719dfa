// What a student has done so far: `.lab/progress.json`, a file that a person can read and that no two labs write at once.
import Course
import Foundation
import GraderKit
import Sockets

public struct CourseProgress: Codable, Equatable, Sendable {
    public static let version = 1

    public var version = CourseProgress.version
    /// Where the student was last: `04-tcp/uppercase-server`.
    public var here: String?
    public var lessons: [String: LessonProgress] = [:]
    /// The named mistakes that were met, by their ids.
    public var causes: [String: CauseProgress] = [:]

    public struct LessonProgress: Codable, Equatable, Sendable {
        public var checks: [String: CheckProgress] = [:]
        /// How many hints of a check were shown.
        public var hints: [String: Int] = [:]
        /// How often the solution of an exercise was asked for before it passed.
        public var solutionAsked: [String: Int] = [:]
        /// Seconds between one run and the next, without breaks.
        public var seconds: Double = 0

        public init() {}

        public init(from decoder: any Decoder) throws {
            let values = try decoder.container(keyedBy: CodingKeys.self)
            checks = try values.decode([String: CheckProgress].self, forKey: .checks)
            hints = try values.decode([String: Int].self, forKey: .hints)
            solutionAsked = try values.decode([String: Int].self, forKey: .solutionAsked)
            seconds = try values.decodeIfPresent(Double.self, forKey: .seconds) ?? 0
        }

        /// How often any of its checks ran.
        public var runs: Int { checks.values.reduce(0) { $0 + $1.runs } }
    }

    public struct CheckProgress: Codable, Equatable, Sendable {
        /// Of the last run.
        public var status: Verdict.Status
        /// How often it ran.
        public var runs: Int
        /// When it ran last.
        public var last: Date
        /// When it passed for the first time.
        public var passed: Date?
        /// The named mistake of the last run.
        public var cause: String?
    }

    public struct CauseProgress: Codable, Equatable, Sendable {
        /// How often. A check that fails again and again for the same cause, until it passes or fails for another, has met
        /// it once: a file is saved many times before it is right.
        public var times: Int
        /// The check that met it last: `04-tcp`, `two-clients`.
        public var lesson: String
        public var check: String
    }

    /// Whoever runs nothing for longer than this was away.
    static let longestPause: Double = 15 * 60

    public init() {}

    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        version = try values.decode(Int.self, forKey: .version)
        here = try values.decodeIfPresent(String.self, forKey: .here)
        lessons = try values.decode([String: LessonProgress].self, forKey: .lessons)
        causes = try values.decodeIfPresent([String: CauseProgress].self, forKey: .causes) ?? [:]
    }

    /// A check as it went last; nil if it never ran.
    public func status(_ check: String, of lesson: Catalogue.Lesson) -> Verdict.Status? {
        lessons[lesson.slug]?.checks[check]?.status
    }

    public func passed(_ exercise: Catalogue.Exercise, of lesson: Catalogue.Lesson) -> Bool {
        exercise.checks.allSatisfy { settled($0.id, of: lesson) }
    }

    /// Points of the checks that passed in their last run.
    public func points(_ checks: [Catalogue.Check], of lesson: Catalogue.Lesson) -> Int {
        checks.reduce(0) { $0 + (status($1.id, of: lesson) == .passed ? $1.points : 0) }
    }

    /// Nothing is left to do: it passed, or this machine cannot run it.
    public func settled(_ check: String, of lesson: Catalogue.Lesson) -> Bool {
        let status = status(check, of: lesson)
        return status == .passed || status == .skipped
    }

    /// Where the student is: where they were last, or, if that is passed, the next exercise that is not; nil if all are.
    public func current(in catalogue: Catalogue) -> (lesson: Catalogue.Lesson, exercise: Catalogue.Exercise)? {
        let all = catalogue.lessons.flatMap { lesson in lesson.exercises.map { (lesson: lesson, exercise: $0) } }
        let start = all.firstIndex { "\($0.lesson.slug)/\($0.exercise.id)" == here } ?? 0
        return (all[start...] + all[..<start]).first { !passed($0.exercise, of: $0.lesson) }
    }

    public mutating func record(_ verdict: Verdict, at time: Date) {
        var lesson = lessons[verdict.lesson] ?? LessonProgress()
        let before = lesson.checks[verdict.check]
        if let last = lesson.checks.values.map(\.last).max() {
            let pause = time.timeIntervalSince(last)
            if (0...CourseProgress.longestPause).contains(pause) { lesson.seconds += pause }
        }
        let cause = verdict.report?.cause
        lesson.checks[verdict.check] = CheckProgress(
            status: verdict.status, runs: (before?.runs ?? 0) + 1, last: time,
            passed: before?.passed ?? (verdict.status == .passed ? time : nil), cause: cause)
        lessons[verdict.lesson] = lesson
        if let cause, cause != before?.cause {
            causes[cause] = CauseProgress(
                times: (causes[cause]?.times ?? 0) + 1, lesson: verdict.lesson, check: verdict.check)
        }
    }

    /// - Returns: how many of the check's hints are to be shown now: one more than last time, at most `count`.
    public mutating func nextHint(_ check: String, of lesson: String, count: Int) -> Int {
        let shown = min(count, (lessons[lesson]?.hints[check] ?? 0) + 1)
        lessons[lesson, default: LessonProgress()].hints[check] = shown
        return shown
    }

    /// - Returns: how often the solution was asked for, this time included.
    public mutating func askForSolution(_ exercise: String, of lesson: String) -> Int {
        let asked = (lessons[lesson]?.solutionAsked[exercise] ?? 0) + 1
        lessons[lesson, default: LessonProgress()].solutionAsked[exercise] = asked
        return asked
    }
}

/// The file that holds it.
public struct ProgressFile: Sendable {
    public let file: URL

    public init(_ workspace: Workspace) { file = workspace.state.appendingPathComponent("progress.json") }

    /// What was read, and what the student should be told about the reading.
    public struct Reading: Sendable {
        public var progress: CourseProgress
        public var notice: String?
    }

    /// CourseProgress so far; a new one if there is no file. A file that cannot be understood is kept aside and said, never lost.
    public func read() -> Reading {
        let data: Data
        do { data = try Data(contentsOf: file) } catch {
            guard FileManager.default.fileExists(atPath: file.path) else { return Reading(progress: CourseProgress()) }
            let why = reason(error)
            return Reading(
                progress: CourseProgress(),
                notice: say("\(file.path) cannot be read: \(why).", "读不了 \(file.path)：\(why)。"))
        }
        let decoder = JSONDecoder()
        decoder.dateDecodingStrategy = .iso8601
        if let progress = try? decoder.decode(CourseProgress.self, from: data),
            progress.version == CourseProgress.version
        {
            return Reading(progress: progress)
        }
        return Reading(progress: CourseProgress(), notice: keepAside())
    }

    /// Reads, changes and writes, while no other lab does.
    ///
    /// - Returns: what the student should be told: an unreadable file was kept aside.
    @discardableResult
    public func update(_ change: (inout CourseProgress) -> Void) throws(CommandError) -> String? {
        do {
            try FileManager.default.createDirectory(
                at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
        } catch { throw notKept(reason(error)) }
        let lock = open(file.path + ".lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
        guard lock >= 0 else { throw notKept(errorText(errno)) }
        defer { close(lock) }
        while flock(lock, LOCK_EX) != 0 && errno == EINTR {}

        var reading = read()
        change(&reading.progress)
        let encoder = JSONEncoder()
        encoder.dateEncodingStrategy = .iso8601
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        do { try writeAtomically(try encoder.encode(reading.progress) + Data("\n".utf8), to: file) } catch {
            throw notKept((error as? CommandError)?.description ?? reason(error))
        }
        return reading.notice
    }

    private func notKept(_ why: String) -> CommandError {
        .failure(
            say(
                "Your progress is not kept: \(file.path): \(why).",
                "进度没有保存：\(file.path)：\(why)。"))
    }

    private func keepAside() -> String {
        var number = 1
        var kept = file.path + ".unreadable-1"
        while FileManager.default.fileExists(atPath: kept) {
            number += 1
            kept = file.path + ".unreadable-\(number)"
        }
        guard rename(file.path, kept) == 0 else {
            return say(
                "\(file.path) cannot be understood, and cannot be moved aside: \(errorText(errno)).",
                "看不懂 \(file.path)，也无法把它移开：\(errorText(errno))。")
        }
        return say(
            "\(file.path) could not be understood: it is kept as \(kept), and progress starts anew.",
            "看不懂 \(file.path)：原文件保留为 \(kept)，进度重新开始记录。")
    }
}
