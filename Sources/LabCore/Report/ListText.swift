// Lessons, exercises and checks with how far the student is: `lab list`, `lab progress`, and `lab` without a terminal.
import Course
import GraderKit
import Wire

public struct ListText: Sendable {
    public var catalogue: Catalogue
    public var workspace: Workspace
    public var progress: CourseProgress
    public var width: Int

    public init(catalogue: Catalogue, workspace: Workspace, progress: CourseProgress, width: Int) {
        self.catalogue = catalogue
        self.workspace = workspace
        self.progress = progress
        self.width = width
    }

    /// One line a lesson.
    public func lessons() -> [StyledText] {
        let current = progress.current(in: catalogue)?.lesson.slug
        return catalogue.lessons.map { lesson in
            let here = lesson.slug == current
            let of = points(lesson.checks)
            let got = progress.points(lesson.checks, of: lesson)
            let score = StyledText("\(got)/\(of)".leftPadded(to: 8), got == of ? .good : got > 0 ? .plain : .quiet)
            let gauge = width >= 60 ? ListText.bar(got, of, 10) + StyledText(" ") : StyledText()
            let right = gauge + score
            let left =
                StyledText(here ? "→ " : "  ", .good) + StyledText(lesson.number + "  ", .quiet)
                + StyledText(lesson.title.description, here ? .strong : .plain)
            return left.truncated(to: width - right.width - 2).justified(with: right, to: width)
        }
    }

    /// A lesson's exercises and checks.
    public func lesson(_ lesson: Catalogue.Lesson) -> [StyledText] {
        let of = points(lesson.checks)
        let got = progress.points(lesson.checks, of: lesson)
        var lines = [
            (StyledText(lesson.number + "  ", .quiet) + StyledText(lesson.title.description, .strong))
                .truncated(to: width - 12)
                .justified(with: StyledText("\(got)/\(of)", got == of ? .good : .plain), to: width)
        ]
        lines += StyledText("    \(lesson.summary)", .quiet).wrapped(to: width, hanging: 4)
        let column = lesson.checks.map { displayWidth($0.id) }.max() ?? 0
        for exercise in lesson.exercises {
            lines.append(StyledText())
            lines.append(heading(exercise, of: lesson))
            for check in exercise.checks { lines += row(check, of: lesson, column) }
        }
        if !lesson.demos.isEmpty {
            lines += [StyledText(), StyledText("  " + say("demos", "演示"), .strong)]
            for demo in lesson.demos {
                lines +=
                    (StyledText("    ") + StyledText("lab run \(demo.id)", .code)
                    + StyledText("   \(demo.title)", .quiet))
                    .wrapped(to: width, hanging: 6)
            }
        }
        return lines
    }

    private func heading(_ exercise: Catalogue.Exercise, of lesson: Catalogue.Lesson) -> StyledText {
        (StyledText("  ") + StyledText(exercise.id, .strong)
            + StyledText("   " + workspace.relative(workspace.file(exercise, of: lesson)), .quiet)).truncated(to: width)
    }

    private func row(_ check: Catalogue.Check, of lesson: Catalogue.Lesson, _ column: Int) -> [StyledText] {
        let status = progress.status(check.id, of: lesson)
        let look = Look(status)
        let score = StyledText(
            status == .skipped ? "–" : "\(status == .passed ? check.points : 0)/\(check.points)", look.style)
        let left = StyledText("  ") + StyledText("\(look.mark) ", look.style) + StyledText(check.id, look.name)
        let title = StyledText(check.title.description, .quiet)
        let room = width - 4 - column - 3 - score.width - 2
        guard room >= 24 else {
            return [left.justified(with: score, to: width)]
                + title.wrapped(to: width - 6).map { StyledText("      ") + $0 }
        }
        let parts = title.wrapped(to: room)
        let indent = 4 + column + 3
        return [(left.padded(to: indent) + parts[0]).justified(with: score, to: width)]
            + parts.dropFirst().map { StyledText(String(repeating: " ", count: indent)) + $0 }
    }

    /// Where the student is, and what to do next.
    public func overview() -> [StyledText] {
        let all = catalogue.lessons.flatMap { lesson in lesson.checks.map { (lesson, $0) } }
        let got = all.reduce(0) { $0 + progress.points([$1.1], of: $1.0) }
        let of = all.reduce(0) { $0 + $1.1.points }
        let heading = [
            StyledText("SocketLab", .strong)
                .justified(
                    with: ListText.bar(got, of, 10)
                        + StyledText(say("  \(got)/\(of) points", "  \(got)/\(of) 分"), .strong),
                    to: width),
            StyledText(),
        ]
        return heading + lessons() + [StyledText()] + next()
    }

    /// What `lab progress` knows besides points: runs and time of each lesson, and mistakes that came back.
    public func memories() -> [StyledText] {
        var lines: [StyledText] = []
        for lesson in catalogue.lessons {
            guard let own = progress.lessons[lesson.slug], own.runs > 0 else { continue }
            let minutes = Int(own.seconds / 60)
            lines.append(
                StyledText(
                    "\(lesson.number)  "
                        + say(
                            "checks run: \(own.runs), time at work: \(minutes) min",
                            "检查运行了 \(own.runs) 次，用时 \(minutes) 分钟"), .quiet))
        }
        let often = progress.causes.filter { $0.value.times > 1 && catalogue.causes[$0.key] != nil }
            .sorted { ($1.value.times, $0.key) < ($0.value.times, $1.key) }
        for (id, met) in often.prefix(5) {
            guard let cause = catalogue.causes[id] else { continue }
            let lesson = catalogue.lesson(met.lesson)
            let read = cause.read ?? lesson?.checks.first { $0.id == met.check }?.read
            let text = say(
                "You have met \(id) \(met.times) times (\(cause.title)).",
                "你遇到过 \(met.times) 次 \(id)（\(cause.title)）。")
            lines += StyledText(text).wrapped(to: width, hanging: 4)
            guard let lesson, let read else { continue }
            let (taught, anchor) = catalogue.place(read, in: lesson)
            lines.append(
                StyledText(say("    read again  ", "    再读一遍  "), .quiet)
                    + StyledText("lab show \(taught.number)#\(anchor)", .code))
        }
        return lines.isEmpty ? [] : [StyledText()] + lines
    }

    public func next() -> [StyledText] {
        guard let (lesson, exercise) = progress.current(in: catalogue) else {
            let text =
                catalogue.lessons.isEmpty
                ? say("There are no lessons here yet.", "这里还没有课程。")
                : say("Everything passed. There is nothing left but to build something.", "全部通过。接下来，去做点自己的东西吧。")
            return StyledText(text, .good).wrapped(to: width)
        }
        let number = lesson.number
        var rows = [
            (say("next", "下一步"), "\(number) \(exercise.id)", exercise.title.description),
            (say("read", "阅读"), "lab show \(number)", ""),
            (say("write", "编写"), workspace.relative(workspace.file(exercise, of: lesson)), ""),
            (say("check", "检查"), "lab check \(number) \(exercise.id)", ""),
        ]
        if lesson.exercises.first?.id != exercise.id { rows.remove(at: 1) }
        return rows.map { label, value, more in
            (StyledText(label.padded(to: 8), .quiet) + StyledText(value, .code)
                + StyledText(more.isEmpty ? "" : "   \(more)")).truncated(to: width)
        }
    }

    /// `━━━───────`: filled when all is done, and never before; not empty once something is.
    public static func bar(_ got: Int, _ of: Int, _ length: Int) -> StyledText {
        let exact = of == 0 ? 0 : got * length / of
        let filled = got > 0 ? max(1, exact) : 0
        return StyledText(String(repeating: "━", count: filled), .good)
            + StyledText(String(repeating: "─", count: length - filled), .quiet)
    }

    private func points(_ checks: [Catalogue.Check]) -> Int { checks.reduce(0) { $0 + $1.points } }
}
