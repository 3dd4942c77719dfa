// Grades mechanical mutants of a lesson's reference: a mutant that passes every check shows a check that is missing, or
// changes nothing that anybody could see. The latter are listed, with the reason, in Tests/Mutants/NN-topic.json.
import Course
import Foundation
import GraderKit
import Synchronization

/// One mutant and what became of it.
public struct Mutant: Codable, Sendable {
    public enum Fate: String, Codable, Sendable {
        /// A check failed.
        case killed
        case survived
        /// It survived, as it should: it does the same.
        case equivalent
        case notCompiling = "not-compiling"
    }

    public var lesson: String
    public var file: String
    public var line: Int
    public var kind: String
    /// The lines that differ, without the blanks around them.
    public var before: String
    public var after: String
    /// Which of several places with the same lines in the file, from 1.
    public var occurrence: Int
    public var fate = Fate.survived
    /// The check that failed.
    public var check: String?
    /// The mistake that its report names; nil if it names none.
    public var cause: String?
    /// Why it is equivalent.
    public var reason: String?
}

/// Tests/Mutants/NN-topic.json
public struct EquivalentMutant: Codable, Sendable {
    public var file: String
    public var before: String
    public var after: String
    /// 1 if it is not there.
    public var occurrence: Int?
    public var reason: String
}

public struct MutantRun: Sendable {
    let workspace: Workspace
    let lesson: Catalogue.Lesson
    /// `lab`.
    let lab: String
    let jobs: Int

    public init(_ workspace: Workspace, _ lesson: Catalogue.Lesson, lab: String, jobs: Int) {
        self.workspace = workspace
        self.lesson = lesson
        self.lab = lab
        self.jobs = jobs
    }

    public struct Result: Sendable {
        public var mutants: [Mutant]
        /// Entries of the list of equivalent mutants that fit no mutant any more, or one that was killed.
        public var stale: [EquivalentMutant]
    }

    /// - Parameter files: only mutants of these; empty: of all.
    public func run(
        files: [String] = [], stage: @escaping @Sendable (String) -> Void, report: (Mutant) -> Void
    ) throws(CommandError) -> Result {
        let known = try equivalents()
        let reference = try ProgramBuilder.reference(workspace, lesson).sorted { $0.key < $1.key }.filter { name, _ in
            name != "main.swift" && !name.contains("Darwin")
        }
        for file in files where !reference.contains(where: { $0.key == file }) {
            let names = reference.map(\.key).joined(separator: ", ")
            throw .usage(
                say(
                    "There is no \(file) to change in Solutions/\(lesson.slug). Name one of: \(names).",
                    "Solutions/\(lesson.slug) 里没有可改动的 \(file)。可用的文件：\(names)。"))
        }
        stage(say("\(lesson.slug): building", "\(lesson.slug)：编译"))
        let folder = workspace.state.appendingPathComponent("mutants/\(lesson.slug)")
        let builder = try ProgramBuilder(workspace, lesson, in: folder)
        let work = reference.filter { files.isEmpty || files.contains($0.key) }
            .flatMap { name, text in mutants(of: name, String(decoding: text, as: UTF8.self)) }
        let trouble = Mutex<CommandError?>(nil)
        var done: [Mutant] = []
        inParallel(count: work.count, width: jobs) { index -> Mutant? in
            guard trouble.withLock({ $0 == nil }) else { return nil }
            do throws(CommandError) {
                return try judge(work[index].mutant, work[index].source, "\(index)", builder, known)
            } catch {
                trouble.withLock { $0 = $0 ?? error }
                return nil
            }
        } arrived: { _, mutant in
            guard let mutant else { return }
            done.append(mutant)
            let survivors = done.filter { $0.fate == .survived }.count
            stage(
                say(
                    "\(lesson.slug): \(done.count) of \(work.count) mutants, \(survivors) survived",
                    "\(lesson.slug)：\(done.count)/\(work.count) 个变异体，存活 \(survivors) 个"))
            report(mutant)
        }
        if let error = trouble.withLock({ $0 }) { throw error }
        let stale = known.filter { entry in
            (files.isEmpty || files.contains(entry.file))
                && !done.contains { $0.fate == .equivalent && MutantRun.fits(entry, $0) }
        }
        return Result(mutants: done, stale: stale)
    }

    private func equivalents() throws(CommandError) -> [EquivalentMutant] {
        let file = workspace.root.appendingPathComponent("Tests/Mutants/\(lesson.slug).json")
        guard FileManager.default.fileExists(atPath: file.path) else { return [] }
        do { return try JSONDecoder().decode([EquivalentMutant].self, from: Data(contentsOf: file)) } catch {
            throw .failure("\(file.path): \(error)")
        }
    }

    private static func fits(_ entry: EquivalentMutant, _ mutant: Mutant) -> Bool {
        entry.file == mutant.file && entry.before == mutant.before && entry.after == mutant.after
            && (entry.occurrence ?? 1) == mutant.occurrence
    }

    private func mutants(of file: String, _ text: String) -> [(mutant: Mutant, source: String)] {
        let mutator = Mutator(text)
        var counts: [String: Int] = [:]
        return mutator.mutations.map { mutation in
            let source = mutator.applying(mutation)
            let (before, after) = MutantRun.difference(text, source)
            counts[before + "\n→\n" + after, default: 0] += 1
            let mutant = Mutant(
                lesson: lesson.slug, file: file, line: mutator.line(of: mutation), kind: mutation.kind.rawValue,
                before: before, after: after, occurrence: counts[before + "\n→\n" + after] ?? 1)
            return (mutant, source)
        }
    }

    /// The lines in which two texts differ.
    private static func difference(_ one: String, _ other: String) -> (String, String) {
        let (old, new) = (one.split(separator: "\n"), other.split(separator: "\n"))
        let head = zip(old, new).prefix { $0 == $1 }.count
        let tail = min(
            zip(old.reversed(), new.reversed()).prefix { $0 == $1 }.count, min(old.count, new.count) - head)
        func text(_ lines: [Substring]) -> String {
            lines[head..<lines.count - tail].map { $0.trimmingCharacters(in: .whitespaces) }.joined(separator: "\n")
        }
        // What is only inserted says little without the line that it is inserted before.
        guard text(old).isEmpty, lineIndex(old, head) != nil else { return (text(old), text(new)) }
        let context = old[head].trimmingCharacters(in: .whitespaces)
        let loop = enclosingLoop(old, head)
        return (loop + " … " + context, loop + " … " + text(new) + " " + context)
    }

    private static func lineIndex(_ lines: [Substring], _ index: Int) -> Int? {
        lines.indices.contains(index) ? index : nil
    }

    /// The last line above that is less indented or as much, and ends in a brace.
    private static func enclosingLoop(_ lines: [Substring], _ index: Int) -> String {
        let depth = lines[index].prefix { $0 == " " }.count
        let line = lines[..<index].last { $0.prefix { $0 == " " }.count == depth && $0.hasSuffix("{") }
        return line.map { $0.trimmingCharacters(in: .whitespaces) } ?? ""
    }

    private func judge(
        _ mutant: Mutant, _ source: String, _ name: String, _ builder: ProgramBuilder, _ known: [EquivalentMutant]
    ) throws(CommandError) -> Mutant {
        var mutant = mutant
        let folder = builder.place(of: name).root.path
        Interrupts.add(folder: folder)
        defer {
            builder.remove(name)
            Interrupts.remove(folder: folder)
        }
        let equivalent = known.first { MutantRun.fits($0, mutant) }
        guard case .built(let program) = try builder.build(name, files: [mutant.file: Data(source.utf8)]) else {
            mutant.fate = .notCompiling
            return mutant
        }
        // Those of the file's own exercise first: they are the likeliest to notice.
        let own = lesson.exercises.first { $0.file == mutant.file }?.checks.map(\.id) ?? []
        let checks = own + lesson.checks.map(\.id).filter { !own.contains($0) }
        func process(_ checks: [String], width: Int, timeScale: Double?) -> GraderProcess {
            GraderProcess(
                lab: lab, lesson: lesson, checks: checks, seed: 1, program: program, timeScale: timeScale, width: width,
                patience: 60)
        }
        var suspects = checks
        while !suspects.isEmpty {
            let outcome = try process(suspects, width: 6, timeScale: nil).run(isEnough: { $0.status == .failed })
            guard let failed = outcome.verdicts.values.first(where: { $0.status == .failed }) else {
                // A grader that hangs or dies of a mutant has noticed it, too, if not as it should.
                if outcome.ending != .exited(0), outcome.ending != .exited(1) {
                    mutant.fate = .killed
                    mutant.check = "(\(outcome.ending.text))"
                }
                break
            }
            // Waits are short, and the machine is busy: only what fails patiently and alone was the mutant's doing.
            let again = try process([failed.check], width: 1, timeScale: 1).run()
            if again.verdicts[failed.check]?.status != .passed {
                mutant.fate = .killed
                mutant.check = failed.check
                mutant.cause = again.verdicts[failed.check]?.report?.cause
                break
            }
            suspects.removeAll { $0 == failed.check || outcome.verdicts[$0]?.status == .passed }
        }
        if let equivalent, mutant.fate == .survived {
            mutant.fate = .equivalent
            mutant.reason = equivalent.reason
        }
        return mutant
    }
}
