// From a lesson and the names of some of its checks to verdicts: build, judge, tell.
import Course
import Foundation
import GraderKit
import Graders

/// What is to be checked: some checks of one lesson.
public struct Selection: Sendable {
    public var lesson: Catalogue.Lesson
    public var checks: [Catalogue.Check]

    public init(lesson: Catalogue.Lesson, checks: [Catalogue.Check]) {
        self.lesson = lesson
        self.checks = checks
    }
}

public struct Checker: Sendable {
    public var workspace: Workspace
    /// Grade the reference, which is in this very program, instead of the student's code.
    public var reference: Bool
    public var seed: UInt64
    /// Checks at a time.
    public var width = 4
    /// Grade this program instead of both.
    public var program: Program?

    public init(workspace: Workspace, reference: Bool, seed: UInt64) {
        self.workspace = workspace
        self.reference = reference
        self.seed = seed
    }

    public enum Stage: Sendable {
        case building(lesson: String)
        case judging(done: Int, of: Int)
    }

    /// Builds the lesson and judges the checks.
    ///
    /// - Parameter first: ids of checks to begin with: what the student waits for.
    /// - Parameter stage: called, from any thread, with what is going on.
    /// - Parameter began: called, from any thread, with the id of a check whose turn has come.
    /// - Parameter event: called, from this thread, with each verdict as it comes, in no particular order.
    /// - Throws: the lab's own failure.
    public func run(
        _ selection: Selection, first: Set<String> = [], stage: @escaping @Sendable (Stage) -> Void = { _ in },
        began: @escaping @Sendable (String) -> Void = { _ in }, event: (Event) -> Void
    ) throws(CommandError) {
        let lesson = selection.lesson
        if !reference {
            stage(.building(lesson: "Lesson" + lesson.number))
            switch try Build(workspace).lesson(lesson) {
            case .built: break
            case .broken(let errors):
                event(.broken(lesson: lesson.slug, errors))
                return
            case .stopped: return
            }
        }
        let checks = try graderChecks(of: selection)
        let ordered = checks.filter { first.contains($0.id) } + checks.filter { !first.contains($0.id) }
        let points = Dictionary(selection.checks.map { ($0.id, $0.points) }, uniquingKeysWith: { one, _ in one })
        let judge = Judge(seed: seed, program: judged)
        stage(.judging(done: 0, of: ordered.count))
        var done = 0
        let report = { (verdict: Verdict) in
            done += 1
            event(.verdict(verdict))
            stage(.judging(done: done, of: ordered.count))
        }
        judge.judge(ordered, of: lesson.slug, points: points, width: width, report: report, began: began)
    }

    private var judged: @Sendable (String) -> Program {
        if let program { return { _ in program } }
        if reference {
            let products = Program.products
            return { .solution($0, products: products) }
        }
        let products = workspace.root.appendingPathComponent(".build/debug")
        return { .exercise($0, products: products) }
    }

    private func graderChecks(of selection: Selection) throws(CommandError) -> [GraderKit.Check] {
        let known = grader(of: selection.lesson.slug)?.checks ?? []
        var checks: [GraderKit.Check] = []
        for check in selection.checks {
            guard let found = known.first(where: { $0.id == check.id }) else {
                throw .failure(
                    say(
                        "Lesson \(selection.lesson.slug) describes the check \(check.id), but this lab cannot judge it: "
                            + "run `swift build` if its grader is new.",
                        "第 \(selection.lesson.slug) 课写了检查 \(check.id)，但本程序不会评它：如果评测代码是新加的，请先运行 `swift build`。"))
            }
            checks.append(found)
        }
        return checks
    }
}
