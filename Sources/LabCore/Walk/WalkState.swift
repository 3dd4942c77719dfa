// The interactive walk as data: where the student is, what the last run brought, what the screen shows. Keys and events
// change it; `WalkScreen` draws it; neither knows of a terminal.
import Course
import Foundation
import GraderKit

public struct WalkState: Sendable {
    public enum Run: Equatable, Sendable {
        /// Nothing has run yet.
        case none
        case running(since: Date)
        case done(seconds: Double)
        /// The code does not compile.
        case broken([Diagnostic])
        /// The lab itself failed: its own words.
        case failed(String)
    }

    public enum View: Equatable, Sendable {
        case exercise
        case list(selected: Int)
        /// Something to read, with its title.
        case page(title: String, [StyledText])
    }

    /// What the loop has to do after a key.
    public enum Action: Equatable, Sendable {
        case none
        case quit
        /// Run the checks (again): another exercise is shown, or the student asked for it.
        case check
        case edit
        case hint(check: String)
        case askForSolution
        case showText
        case showTrace(check: String)
    }

    public let catalogue: Catalogue
    public let workspace: Workspace
    public var progress: CourseProgress
    public private(set) var lesson: Catalogue.Lesson
    public private(set) var exercise: Catalogue.Exercise
    public var run = Run.none
    public private(set) var verdicts: [String: Verdict] = [:]
    /// The file whose save began the run, and when.
    public var saved: (file: String, time: String)?
    public var view = View.exercise
    /// The first line of a page, or of the details, that is shown.
    public var scroll = 0
    /// The check that hints, traces and details are about.
    public private(set) var selected: String
    /// The student moved the selection: a run does not move it any more while that check is open.
    private var isChosen = false
    /// How many hints of the selected check are shown.
    public var hints = 0
    /// One line for the student; the next key takes it away.
    public var notice: String?

    public init?(catalogue: Catalogue, workspace: Workspace, progress: CourseProgress) {
        guard let first = catalogue.lessons.first(where: { !$0.exercises.isEmpty }), let start = first.exercises.first,
            !start.checks.isEmpty
        else { return nil }
        self.catalogue = catalogue
        self.workspace = workspace
        self.progress = progress
        (lesson, exercise) = progress.current(in: catalogue) ?? (first, start)
        selected = exercise.checks.first?.id ?? ""
    }

    // MARK: What happens

    public mutating func begin(at time: Date) {
        run = .running(since: time)
        verdicts = [:]
        scroll = 0
    }

    public mutating func add(_ event: Event) {
        switch event {
        case .verdict(let verdict):
            guard verdict.lesson == lesson.slug else { return }
            verdicts[verdict.check] = verdict
            progress.record(verdict, at: Date())
            if !isChosen || verdicts[selected]?.status == .passed { select(mostUrgent()) }
        case .broken(_, let errors): run = .broken(errors)
        case .summary(let summary): if case .running = run { run = .done(seconds: summary.seconds) }
        }
    }

    private mutating func select(_ check: String) {
        guard check != selected else { return }
        selected = check
        isChosen = false
        hints = 0
        scroll = 0
    }

    /// The first that failed, then the first that is open, in the order of the catalogue.
    private func mostUrgent() -> String {
        let checks = exercise.checks.map(\.id)
        return checks.first { verdicts[$0]?.status == .failed } ?? checks.first { verdicts[$0]?.status == .labError }
            ?? checks.first { verdicts[$0]?.status == .notStarted } ?? checks.first { verdicts[$0] == nil }
            ?? checks.last ?? ""
    }

    public var isRunning: Bool {
        if case .running = run { return true }
        return false
    }

    public var isPassed: Bool {
        !exercise.checks.isEmpty
            && exercise.checks.allSatisfy { [.passed, .skipped].contains(verdicts[$0.id]?.status) }
    }

    public mutating func go(to lesson: Catalogue.Lesson, _ exercise: Catalogue.Exercise) {
        self.lesson = lesson
        self.exercise = exercise
        verdicts = [:]
        run = .none
        saved = nil
        view = .exercise
        isChosen = false
        selected = exercise.checks.first?.id ?? ""
        hints = 0
        scroll = 0
        notice = nil
    }

    public var all: [(lesson: Catalogue.Lesson, exercise: Catalogue.Exercise)] {
        catalogue.lessons.flatMap { lesson in lesson.exercises.map { (lesson, $0) } }
    }

    public var index: Int { all.firstIndex { $0.lesson.slug == lesson.slug && $0.exercise.id == exercise.id } ?? 0 }

    // MARK: Keys

    public mutating func press(_ key: Key) -> Action {
        notice = nil
        if key == .control("c") { return .quit }
        switch view {
        case .exercise: return pressInExercise(key)
        case .list(let selected): return pressInList(key, selected)
        case .page: return pressInPage(key)
        }
    }

    private mutating func pressInExercise(_ key: Key) -> Action {
        switch key {
        case .character("q"): return .quit
        case .character("h"): return .hint(check: selected)
        case .character("t"): return .showText
        case .character("r"): return .showTrace(check: selected)
        case .character("l"): view = .list(selected: index)
        case .character("o"), .character("e"): return .edit
        case .character("s"): return .askForSolution
        case .character("c"), .enter: return .check
        case .character("n"), .right: return move(by: 1)
        case .character("p"), .left: return move(by: -1)
        case .character("j"), .down: moveSelection(by: 1)
        case .character("k"), .up: moveSelection(by: -1)
        case .character(" "), .pageDown: scroll += 5
        case .character("b"), .pageUp: scroll = max(0, scroll - 5)
        default: break
        }
        return .none
    }

    private mutating func move(by step: Int) -> Action {
        let all = all
        guard all.indices.contains(index + step) else {
            notice =
                step > 0
                ? say("This is the last exercise.", "这是最后一个练习。") : say("This is the first exercise.", "这是第一个练习。")
            return .none
        }
        go(to: all[index + step].lesson, all[index + step].exercise)
        return .check
    }

    private mutating func moveSelection(by step: Int) {
        let checks = exercise.checks.map(\.id)
        guard let at = checks.firstIndex(of: selected), checks.indices.contains(at + step) else { return }
        select(checks[at + step])
        isChosen = true
    }

    private mutating func pressInList(_ key: Key, _ selected: Int) -> Action {
        switch key {
        case .character("q"), .character("l"), .escape: view = .exercise
        case .character("j"), .down: view = .list(selected: min(selected + 1, all.count - 1))
        case .character("k"), .up: view = .list(selected: max(selected - 1, 0))
        case .pageDown, .character(" "): view = .list(selected: min(selected + 10, all.count - 1))
        case .pageUp, .character("b"): view = .list(selected: max(selected - 10, 0))
        case .enter:
            let all = all
            if selected == index {
                view = .exercise
                return .none
            }
            go(to: all[selected].lesson, all[selected].exercise)
            return .check
        default: break
        }
        return .none
    }

    private mutating func pressInPage(_ key: Key) -> Action {
        switch key {
        case .character("q"), .escape, .enter:
            view = .exercise
            scroll = 0
        case .character("j"), .down: scroll += 1
        case .character("k"), .up: scroll = max(0, scroll - 1)
        case .character(" "), .pageDown: scroll += 15
        case .character("b"), .pageUp: scroll = max(0, scroll - 15)
        case .character("g"), .home: scroll = 0
        case .character("G"), .end: scroll = Int.max / 2
        default: break
        }
        return .none
    }

    /// Shows something to read.
    public mutating func open(_ title: String, _ lines: [StyledText], at line: Int = 0) {
        view = .page(title: title, lines)
        scroll = line
    }
}
