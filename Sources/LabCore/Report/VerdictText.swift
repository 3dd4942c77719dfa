// A verdict as a person reads it. Expected and actual lead, then what the program did, then why, then what to do next.
import Course
import Foundation
import GraderKit
import Wire

/// Renders verdicts. Holds what they refer to: titles, causes, where to read.
public struct VerdictText: Sendable {
    public var catalogue: Catalogue
    /// Columns of a line, at most 80.
    public var width: Int
    /// Paths are shown relative to it.
    public var workspace: Workspace
    /// The reference is being graded, not the student's code.
    public var reference: Bool
    /// Ends a failure with the commands that help; not where keys do.
    public var showsNext = true

    public init(catalogue: Catalogue, workspace: Workspace, width: Int = 80, reference: Bool = false) {
        self.catalogue = catalogue
        self.workspace = workspace
        self.width = min(80, max(30, width))
        self.reference = reference
    }

    /// - Parameter namesWidth: columns of the longest check id that is shown beside this one, so that titles line up.
    /// - Parameter place: false where the file to open was just shown: several steps of one file are not started.
    public func lines(_ verdict: Verdict, namesWidth: Int = 0, place: Bool = true) -> [StyledText] {
        headline(verdict, namesWidth: namesWidth) + (verdict.status == .notStarted && !place ? [] : details(verdict))
    }

    /// What follows the headline.
    public func details(_ verdict: Verdict) -> [StyledText] {
        let lesson = catalogue.lesson(verdict.lesson)
        switch verdict.status {
        case .passed: return []
        case .failed: return failure(verdict, lesson, lesson?.checks.first { $0.id == verdict.check })
        case .notStarted: return notStarted(verdict)
        case .skipped:
            return field(
                say("skipped", "跳过"), verdict.reason ?? say("not possible on this machine", "这台机器上做不了"), .quiet)
        case .labError:
            let more = say(
                "This is not about your code. `lab doctor` looks at this machine.", "与你的代码无关。`lab doctor` 检查这台机器。")
            return field(say("lab error", "环境出错"), [verdict.reason ?? "", more].joined(separator: "\n"), .bad)
        }
    }

    /// `✘ 04 two-clients   serves a second client while the first one is silent             0/2`
    public func headline(_ verdict: Verdict, namesWidth: Int = 0) -> [StyledText] {
        let check = catalogue.lesson(verdict.lesson)?.checks.first { $0.id == verdict.check }
        let look = Look(verdict.status)
        let of = check?.points ?? verdict.points
        let score =
            [.skipped, .labError].contains(verdict.status)
            ? "–" : "\(verdict.status == .passed ? verdict.points : 0)/\(of)"
        let start =
            StyledText("\(look.mark) ", look.style) + StyledText(verdict.lesson.prefix(2) + " ", .quiet)
            + StyledText(verdict.check.padded(to: namesWidth), verdict.status == .failed ? .strong : look.name)
        return headline(start, check?.title.description ?? "", StyledText(score, look.style))
    }

    private func headline(_ start: StyledText, _ title: String, _ score: StyledText) -> [StyledText] {
        let indent = start.width + 3
        let room = width - indent - score.width - 2
        guard room >= 24 else {
            // Too narrow for one line: the title goes under the name.
            let below = StyledText(title).wrapped(to: width - 5).map { StyledText("     ") + $0 }
            return [start.justified(with: score, to: width)] + below
        }
        let parts = StyledText(title).wrapped(to: room)
        let first = (start + StyledText("   ") + parts[0]).justified(with: score, to: width)
        return [first] + parts.dropFirst().map { StyledText(String(repeating: " ", count: indent)) + $0 }
    }

    private func failure(_ verdict: Verdict, _ lesson: Catalogue.Lesson?, _ check: Catalogue.Check?) -> [StyledText] {
        guard let report = verdict.report else { return [] }
        var lines = field(say("expected", "期望"), report.expected)
        lines += field(say("got", "得到"), report.got)
        lines += difference(report.difference)
        lines += calls(report.calls, of: verdict, lesson)
        if let crash = report.crash {
            lines += field(say("crash", "崩溃"), placeText(crash), .bad)
        }
        lines += why(report)
        lines += printed(verdict.output)
        if showsNext { lines += next(report, lesson, check) }
        return lines
    }

    private func notStarted(_ verdict: Verdict) -> [StyledText] {
        guard let place = verdict.place else { return field(say("not started", "还没开始"), "") }
        return field(say("not started", "还没开始"), placeText(place), .waiting)
    }

    private func placeText(_ place: Place) -> String {
        workspace.relative(place.file) + ":\(place.line)" + (place.step.isEmpty ? "" : "\n" + place.step)
    }

    private func difference(_ rows: [String]) -> [StyledText] {
        let indent = String(repeating: " ", count: 2 + labelWidth)
        return rows.flatMap(visibleLines).map { (StyledText(indent) + StyledText($0)).truncated(to: width) }
    }

    private func calls(_ calls: [String], of verdict: Verdict, _ lesson: Catalogue.Lesson?) -> [StyledText] {
        guard !calls.isEmpty else { return [] }
        return field(subject(verdict, lesson), calls.joined(separator: "\n"), .code, hanging: 2)
    }

    private func why(_ report: Report) -> [StyledText] {
        let cause = report.cause.flatMap { catalogue.causes[$0] }
        // A detail that is one of the calls above would say it twice.
        let detail = report.detail.flatMap { detail in report.calls.contains { $0.contains(detail) } ? nil : detail }
        let reasons = [cause?.why.description, detail].compactMap { $0 }.filter { !$0.isEmpty }
        guard !reasons.isEmpty else { return [] }
        return field(say("why", "原因"), reasons.joined(separator: "\n"))
    }

    /// What the student's program printed, marked as theirs.
    private func printed(_ output: String?) -> [StyledText] {
        guard let output, !output.isEmpty else { return [] }
        let most = 12
        var rows = visibleLines(output)
        let hidden = rows.count - most
        if hidden > 0 {
            rows = [say("… \(hidden) lines before", "…前面还有 \(hidden) 行")] + rows.suffix(most)
        }
        let label = reference ? say("its output", "它的输出") : say("your output", "你的输出")
        return field(label, rows.map { "│ " + $0 }.joined(separator: "\n"), .quiet)
    }

    private func next(_ report: Report, _ lesson: Catalogue.Lesson?, _ check: Catalogue.Check?) -> [StyledText] {
        guard let lesson, let check else { return [] }
        let hint = StyledText("lab hint \(lesson.number) \(check.id)", .code)
        let path = StyledText(reading(report, lesson, check), .code)
        let label = StyledText("  ") + StyledText(say("next", "下一步").padded(to: labelWidth), .quiet)
        let read = StyledText(say("read", "阅读") + "  ", .quiet)
        let one = label + hint + StyledText("     ") + read + path
        if one.width <= width { return [one] }
        return field(say("next", "下一步"), hint.plain, .code) + field(say("read", "阅读"), path.plain, .code)
    }

    private func reading(_ report: Report, _ lesson: Catalogue.Lesson, _ check: Catalogue.Check) -> String {
        // A cause that another lesson teaches comes before the check's own place.
        let read = report.cause.flatMap { catalogue.causes[$0]?.read } ?? check.read
        let (lesson, anchor) = catalogue.place(read, in: lesson)
        return workspace.relative(workspace.text(of: lesson, in: Language.current)) + "#" + anchor
    }

    private func subject(_ verdict: Verdict, _ lesson: Catalogue.Lesson?) -> String {
        let server = lesson?.exercise(of: verdict.check)?.id.hasSuffix("server") ?? false
        switch (reference, server) {
        case (true, _): return say("reference", "参考实现")
        case (false, true): return say("your server", "你的服务器")
        case (false, false): return say("your code", "你的代码")
        }
    }

    private var labelWidth: Int { say("10", "8") == "10" ? 10 : 8 }

    /// `  label     text`, further lines under the text.
    private func field(
        _ label: String, _ text: String, _ style: Style = .plain, hanging: Int = 0
    ) -> [StyledText] {
        let start = 2 + max(labelWidth, displayWidth(label) + 2)
        var lines: [StyledText] = []
        for row in visibleLines(text) {
            lines += StyledText(row, style).wrapped(to: width - start, hanging: hanging).map {
                StyledText(String(repeating: " ", count: start)) + $0
            }
        }
        let head = StyledText("  ") + StyledText(label.padded(to: start - 2), .quiet)
        guard let first = lines.first else { return [head] }
        lines[0] = head + StyledText(cells: first.cells.dropFirst(start))
        return lines
    }
}

/// The mark and colour of a status, everywhere the same.
public struct Look: Sendable {
    public var mark: String
    public var style: Style
    /// For the check's name.
    public var name: Style

    public init(_ status: Verdict.Status?) {
        switch status {
        case .passed: (mark, style, name) = ("✔", .good, .plain)
        case .failed: (mark, style, name) = ("✘", .bad, .strong)
        case .notStarted: (mark, style, name) = ("○", .waiting, .plain)
        case .labError: (mark, style, name) = ("!", .bad, .plain)
        case .skipped: (mark, style, name) = ("–", .quiet, .quiet)
        case nil: (mark, style, name) = ("·", .quiet, .plain)
        }
    }
}
