// The verdicts of a run in the order of the catalogue, whatever the order in which they come, under their exercises.
import Course
import GraderKit
import Wire

public struct RunText {
    private let text: VerdictText
    private let selection: Selection
    private let names: Int
    private var waiting: [String: Verdict] = [:]
    private var next = 0
    private var exercise: String?
    private var place: Place?

    public init(_ selection: Selection, _ text: VerdictText) {
        self.selection = selection
        self.text = text
        names = selection.checks.map { displayWidth($0.id) }.max() ?? 0
    }

    /// The lesson's name, before its first verdict.
    public func heading() -> [StyledText] {
        let lesson = selection.lesson
        let heading = StyledText(lesson.number + "  ", .quiet) + StyledText(lesson.title.description, .strong)
        let reference = text.reference ? StyledText(say("  reference solution", "  参考实现"), .quiet) : StyledText()
        return (heading + reference).wrapped(to: text.width, hanging: 4)
    }

    /// - Returns: what can be shown now: this verdict and those that waited for it.
    public mutating func add(_ verdict: Verdict) -> [StyledText] {
        waiting[verdict.check] = verdict
        var lines: [StyledText] = []
        while next < selection.checks.count, let verdict = waiting.removeValue(forKey: selection.checks[next].id) {
            lines += under(selection.checks[next])
            // The file to open is shown once for all checks that stopped there.
            lines += text.lines(verdict, namesWidth: names, place: verdict.place != place)
            place = verdict.place
            next += 1
        }
        return lines
    }

    private mutating func under(_ check: Catalogue.Check) -> [StyledText] {
        guard let exercise = selection.lesson.exercise(of: check.id), exercise.id != self.exercise else { return [] }
        self.exercise = exercise.id
        let workspace = text.workspace
        let file =
            text.reference
            ? workspace.solution(exercise, of: selection.lesson) : workspace.file(exercise, of: selection.lesson)
        let line = StyledText(exercise.id, .strong) + StyledText("   " + workspace.relative(file), .quiet)
        return [StyledText(), line.truncated(to: text.width)]
    }
}
