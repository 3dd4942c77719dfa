// From a save to a verdict, against what no tool can be faster than: the compiler alone on the same file.
//
// Works on a copy of the package whose exercise is the reference, so that the verdict is a real one and nobody's file is
// touched. Both are timed in turn, so that whatever else the machine does strikes both.
import Course
import Foundation
import Sockets

public struct EditBench: Sendable {
    public struct Round: Codable, Equatable, Sendable {
        /// Seconds of `swiftc`: compile and link one file.
        public var compiler: Double
        /// Seconds from the save until `lab check` has printed the verdict.
        public var check: Double
    }

    public struct Result: Codable, Equatable, Sendable {
        public var rounds: [Round]
        /// Medians.
        public var compiler: Double
        public var check: Double
        public var ratio: Double
        /// The most that is allowed.
        public var most: Double

        public init(rounds: [Round], most: Double) {
            self.rounds = rounds
            self.most = most
            compiler = median(rounds.map(\.compiler))
            check = median(rounds.map(\.check))
            ratio = compiler > 0 ? check / compiler : .infinity
        }
    }

    public var copy: Workspace
    public var lesson: Catalogue.Lesson
    public var exercise: Catalogue.Exercise
    public var check: Catalogue.Check
    /// `lab`, which is timed.
    public var executable: String

    public init(
        copy: Workspace, lesson: Catalogue.Lesson, exercise: Catalogue.Exercise, check: Catalogue.Check,
        executable: String
    ) {
        self.copy = copy
        self.lesson = lesson
        self.exercise = exercise
        self.check = check
        self.executable = executable
    }

    /// - Parameter stage: called before each part.
    public func run(rounds: Int, stage: (String) -> Void) throws(CommandError) -> Result {
        stage(say("building a copy to edit", "正在编译供修改的副本"))
        try copy.putReference(lesson)
        // Everything else is built, and every cache is warm, before the clock runs.
        try edit(0)
        try checkOnce()
        _ = try compileOnce()
        var measured: [Round] = []
        for round in 1...rounds {
            stage(say("round \(round) of \(rounds)", "第 \(round)/\(rounds) 轮"))
            let compiler = try compileOnce()
            let began = now()
            try edit(round)
            try checkOnce()
            measured.append(Round(compiler: compiler, check: now() - began))
        }
        return Result(rounds: measured, most: 3)
    }

    private var file: URL { copy.file(exercise, of: lesson) }

    /// Saves the file with another body of one function, so that it is compiled and linked anew.
    private func edit(_ round: Int) throws(CommandError) {
        do {
            let mark = "\n// The benchmark's own.\n"
            let text = try String(contentsOf: file, encoding: .utf8)
            let own = text.range(of: mark).map { String(text[..<$0.lowerBound]) } ?? text
            try writeAtomically(Data((own + mark + "func benchmarkRound() -> Int { \(round) }\n").utf8), to: file)
        } catch let error as CommandError { throw error } catch { throw .failure("\(file.path): \(reason(error))") }
    }

    private func checkOnce() throws(CommandError) {
        let result = try Subprocess.run(
            executable, ["check", lesson.number, check.id, "--json", "--lang", "en"], mergesErrors: true,
            folder: copy.root)
        guard result.succeeded else {
            throw .failure(
                say(
                    "lab check \(lesson.number) \(check.id) did not pass:",
                    "lab check \(lesson.number) \(check.id) 没有通过：")
                    + "\n" + result.output)
        }
    }

    /// Into a library, because the file is only a part of its program.
    private func compileOnce() throws(CommandError) -> Double {
        let products = copy.root.appendingPathComponent(".build/debug").resolvingSymlinksInPath()
        let folders = (try? FileManager.default.contentsOfDirectory(atPath: products.path)) ?? []
        let maps = folders.sorted().map { products.appendingPathComponent("\($0)/module.modulemap").path }
            .filter { FileManager.default.fileExists(atPath: $0) }.flatMap { ["-Xcc", "-fmodule-map-file=\($0)"] }
        let library = copy.state.appendingPathComponent("benchmark-library").path
        try? FileManager.default.createDirectory(at: copy.state, withIntermediateDirectories: true)
        let arguments =
            ["-Onone", "-g", "-swift-version", "5", "-emit-library", "-module-name", "Benchmark", "-o", library]
            + ["-I", products.appendingPathComponent("Modules").path] + maps + missingSymbolsAllowed + [file.path]
        let began = now()
        let result = try Subprocess.run("swiftc", arguments, mergesErrors: true)
        let seconds = now() - began
        guard result.succeeded else {
            throw .failure(
                say(
                    "\(exercise.file) does not compile by itself: choose another exercise.",
                    "\(exercise.file) 不能单独编译：请换一个练习。") + "\n" + result.output)
        }
        return seconds
    }

    /// Seconds of a clock that nobody sets.
    private func now() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }
}

func median(_ values: [Double]) -> Double {
    let sorted = values.sorted()
    guard !sorted.isEmpty else { return 0 }
    let middle = sorted.count / 2
    return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}
