// The walk's screen: exactly as many lines as the terminal has, none wider than it is.
import Course
import Foundation
import GraderKit
import Wire

public struct WalkScreen: Sendable {
    public var columns: Int
    public var rows: Int
    public var now: Date
    /// Advances while something runs.
    public var tick: Int

    public init(columns: Int, rows: Int, now: Date, tick: Int) {
        self.columns = max(20, columns)
        self.rows = max(5, rows)
        self.now = now
        self.tick = tick
    }

    /// Text keeps to columns that are pleasant to read, inside a margin of one.
    private var width: Int { min(82, columns) - 2 }

    /// - Parameter state: its `scroll` is brought within what there is to scroll.
    public func lines(_ state: inout WalkState) -> [StyledText] {
        let body: [StyledText]
        let keys: [(String, String)]
        switch state.view {
        case .exercise:
            body = exercise(&state, room: rows - 2)
            keys = exerciseKeys(state)
        case .list(let selected):
            body = list(state, selected, room: rows - 2)
            keys = [("↑↓", say("choose", "选择")), ("⏎", say("go", "前往")), ("q", say("back", "返回"))]
        case .page(let title, let page):
            body = reading(title, page, &state, room: rows - 2)
            keys = [
                ("↑↓", say("line", "一行")), (say("space", "空格"), say("page", "一页")), ("g G", say("ends", "首尾")),
                ("q", say("back", "返回")),
            ]
        }
        let footer = [StyledText(state.notice.map { " " + $0 } ?? "", .waiting), footerLine(keys)]
        let blank = Array(repeating: StyledText(), count: max(0, rows - 2 - body.count))
        return (body.prefix(rows - 2).map { margin($0) } + blank + footer).map { $0.truncated(to: columns) }
    }

    private func margin(_ line: StyledText) -> StyledText { line.isEmpty ? line : StyledText(" ") + line }

    /// Closer together where there is little room; what still does not fit is left out, but never the last: the way out.
    private func footerLine(_ keys: [(String, String)]) -> StyledText {
        let items = keys.map { StyledText($0.0, .strong) + StyledText(" \($0.1)", .quiet) }
        for gap in [3, 2, 1] {
            let line = footerLine(items, gap)
            if line.width <= columns { return line }
        }
        var shown = items
        while shown.count > 1, footerLine(shown, 1).width > columns { shown.remove(at: shown.count - 2) }
        return footerLine(shown, 1)
    }

    private func footerLine(_ items: [StyledText], _ gap: Int) -> StyledText {
        items.enumerated().reduce(StyledText(" ")) { line, item in
            line + StyledText(item.offset == 0 ? "" : String(repeating: " ", count: gap)) + item.element
        }
    }

    private func exerciseKeys(_ state: WalkState) -> [(String, String)] {
        var keys = [
            ("h", say("hint", "提示")), ("t", say("text", "课文")), ("r", say("trace", "过程")),
            ("o", say("open", "编辑")), ("l", say("list", "列表")), ("n", say("next", "下一题")),
            ("s", say("solution", "答案")), ("q", say("quit", "退出")),
        ]
        // After passing, what comes next comes first.
        if state.isPassed { keys.insert(keys.remove(at: 5), at: 0) }
        return keys
    }

    // MARK: The exercise

    private func exercise(_ state: inout WalkState, room: Int) -> [StyledText] {
        var top = heading(state)
        let rows = checks(state)
        let details = details(state)
        // What is shown must fit: first the title line goes, then checks far from the selected one.
        if room < 16 { top = Array(top.suffix(max(1, top.count - 2))) }
        let wanted = min(details.count, max(4, (room - top.count) * 6 / 10))
        let listRoom = max(1, room - top.count - 1 - wanted)
        let list = window(rows, around: selectedIndex(state), listRoom)
        let left = max(0, room - top.count - list.count - 1)
        state.scroll = min(state.scroll, max(0, details.count - left))
        var shown = Array(details.dropFirst(state.scroll).prefix(left))
        if details.count - state.scroll > left, left > 0 {
            shown[left - 1] = StyledText("  " + say("⋮ more: space", "⋮ 还有：空格键"), .quiet)
        }
        return top + list + [StyledText()] + shown
    }

    private func heading(_ state: WalkState) -> [StyledText] {
        let all = state.all
        let got = all.reduce(0) { $0 + state.progress.points($1.exercise.checks, of: $1.lesson) }
        let of = all.flatMap(\.exercise.checks).reduce(0) { $0 + $1.points }
        let points =
            ListText.bar(got, of, 10) + StyledText("  \(got)/\(of)", .strong) + StyledText(say(" points", " 分"), .quiet)
        let file = state.workspace.relative(state.workspace.file(state.exercise, of: state.lesson))
        let position = state.lesson.exercises.firstIndex { $0.id == state.exercise.id } ?? 0
        let number = StyledText("\(position + 1)/\(state.lesson.exercises.count)", .quiet)
        return [
            StyledText("SocketLab", Style(.green, bold: true)).justified(with: points, to: width),
            StyledText(),
            (StyledText(state.lesson.number + "  ", .quiet) + StyledText(state.lesson.title.description, .strong))
                .truncated(to: width - 6).justified(with: number, to: width),
            (StyledText("    ") + StyledText(state.exercise.title.description) + StyledText("   " + file, .code))
                .truncated(to: width),
            (StyledText("    ") + status(state)).truncated(to: width),
            StyledText(),
        ]
    }

    private func status(_ state: WalkState) -> StyledText {
        let when = state.saved.map { say("saved \($0.time) · ", "\($0.time) 保存 · ") } ?? ""
        switch state.run {
        case .none: return StyledText(when, .quiet)
        case .running(let since):
            let done = state.exercise.checks.filter { state.verdicts[$0.id] != nil }.count
            let spinner = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"][tick % 10]
            let text =
                done == 0
                ? say("building", "正在编译")
                : say("\(done) of \(state.exercise.checks.count) judged", "已评判 \(done)/\(state.exercise.checks.count)")
            return StyledText(when, .quiet) + StyledText("\(spinner) ", .waiting)
                + StyledText(text + "  \(Int(max(0, now.timeIntervalSince(since)))) s", .quiet)
        case .done(let seconds):
            let passed = state.exercise.checks.filter { state.verdicts[$0.id]?.status == .passed }.count
            let text = say(
                "\(passed) of \(state.exercise.checks.count) passed", "通过 \(passed)/\(state.exercise.checks.count)")
            return StyledText(when, .quiet) + StyledText(text, state.isPassed ? .good : .plain)
                + StyledText(" · \(duration(seconds))", .quiet)
        case .broken: return StyledText(when, .quiet) + StyledText(say("does not compile", "编译不通过"), .bad)
        case .failed: return StyledText(when, .quiet) + StyledText(say("the lab failed", "实验环境出错"), .bad)
        }
    }

    private func checks(_ state: WalkState) -> [StyledText] {
        let column = state.exercise.checks.map { displayWidth($0.id) }.max() ?? 0
        return state.exercise.checks.map { check in
            let status = state.verdicts[check.id]?.status
            let look = Look(status)
            let isSelected = check.id == state.selected
            let score = StyledText(
                status == .skipped || status == nil ? "" : "\(status == .passed ? check.points : 0)/\(check.points)",
                look.style)
            let start =
                StyledText(isSelected ? "› " : "  ", .strong) + StyledText("\(look.mark) ", look.style)
                + StyledText(check.id, isSelected ? .strong : look.name)
            let title = StyledText("   ") + StyledText(check.title.description, .quiet)
            let line = width >= column + 30 ? start.padded(to: column + 4) + title : start
            return line.truncated(to: width - score.width - 2).justified(with: score, to: width)
        }
    }

    private func selectedIndex(_ state: WalkState) -> Int {
        state.exercise.checks.firstIndex { $0.id == state.selected } ?? 0
    }

    /// `count` of the lines, the one at `index` among them; what is left out at an end is counted there.
    private func window(_ lines: [StyledText], around index: Int, _ count: Int) -> [StyledText] {
        guard lines.count > count else { return lines }
        let start = max(0, min(index - count / 2, lines.count - count))
        var shown = Array(lines[start..<(start + count)])
        let below = lines.count - start - count
        if start > 0, index > start, count > 2 {
            shown[0] = StyledText("  " + say("↑ \(start + 1) more", "↑ 还有 \(start + 1) 项"), .quiet)
        }
        if below > 0, index < start + count - 1, count > 2 {
            shown[count - 1] = StyledText("  " + say("↓ \(below + 1) more", "↓ 还有 \(below + 1) 项"), .quiet)
        }
        return shown
    }

    /// Below the checks: what the student should look at now.
    private func details(_ state: WalkState) -> [StyledText] {
        switch state.run {
        case .broken(let errors):
            return hint(state)
                + BuildText(workspace: state.workspace, width: width).lines(errors, in: state.lesson)
        case .failed(let message):
            return hint(state) + visibleLines(message).flatMap { StyledText($0).wrapped(to: width) }
        default: break
        }
        if state.isPassed { return hint(state) + passed(state) }
        guard let verdict = state.verdicts[state.selected] else { return title(state) + hint(state) }
        var text = VerdictText(catalogue: state.catalogue, workspace: state.workspace, width: width)
        text.showsNext = false
        return title(state) + hint(state) + text.details(verdict)
    }

    /// The selected check's, where the list above had to cut it.
    private func title(_ state: WalkState) -> [StyledText] {
        guard let check = state.exercise.checks.first(where: { $0.id == state.selected }),
            checks(state)[selectedIndex(state)].plain.contains("…") || width < 60
        else { return [] }
        return StyledText(check.title.description, .strong).wrapped(to: width - 2).map { StyledText("  ") + $0 }
            + [StyledText()]
    }

    private func hint(_ state: WalkState) -> [StyledText] {
        guard state.hints > 0, let check = state.exercise.checks.first(where: { $0.id == state.selected }) else {
            return []
        }
        var lines: [StyledText] = []
        for (index, hint) in check.hints.prefix(state.hints).enumerated() {
            let label = say("hint \(index + 1)", "提示 \(index + 1)")
            let start = StyledText("  ") + StyledText(label.padded(to: 10), .waiting)
            lines += (start + StyledText(hint.description)).wrapped(to: width, hanging: 12)
        }
        return lines + [StyledText()]
    }

    private func passed(_ state: WalkState) -> [StyledText] {
        let all = state.all
        let text = StyledText("✔ ", .good) + StyledText(say("Passed. ", "通过。"), Style(.green, bold: true))
        guard all.indices.contains(state.index + 1) else {
            return [
                text
                    + StyledText(
                        say("That was the last exercise: you have walked the whole course.", "这是最后一个练习：整个课程都走完了。"))
            ]
        }
        let next = all[state.index + 1]
        let name =
            next.lesson.slug == state.lesson.slug ? next.exercise.id : "\(next.lesson.number) \(next.exercise.id)"
        return [
            text + StyledText(say("Press ", "按 ")) + StyledText("n", .strong)
                + StyledText(say(" for \(name), ", " 去做 \(name)，")) + StyledText("s", .strong)
                + StyledText(say(" for how the reference does it.", " 看参考实现。"))
        ].flatMap { $0.wrapped(to: width, hanging: 2) }
    }

    // MARK: Other views

    private func list(_ state: WalkState, _ selected: Int, room: Int) -> [StyledText] {
        var lines: [StyledText] = []
        var at = 0
        var slug = ""
        for (index, (lesson, exercise)) in state.all.enumerated() {
            if lesson.slug != slug {
                slug = lesson.slug
                lines.append(
                    (StyledText(lesson.number + "  ", .quiet) + StyledText(lesson.title.description, .strong))
                        .truncated(to: width))
            }
            if index == selected { at = lines.count }
            lines.append(row(exercise, of: lesson, isSelected: index == selected, state))
        }
        let start = max(0, min(at - room / 2, lines.count - room))
        return Array(lines[start..<min(lines.count, start + room)])
    }

    private func row(
        _ exercise: Catalogue.Exercise, of lesson: Catalogue.Lesson, isSelected: Bool, _ state: WalkState
    ) -> StyledText {
        let got = state.progress.points(exercise.checks, of: lesson)
        let of = exercise.checks.reduce(0) { $0 + $1.points }
        let isPassed = state.progress.passed(exercise, of: lesson)
        let hasRun = exercise.checks.contains { state.progress.status($0.id, of: lesson) != nil }
        let look = isPassed ? Look(.passed) : got > 0 ? Look(.failed) : hasRun ? Look(.notStarted) : Look(nil)
        let name = StyledText(exercise.id, isSelected ? .selected : .plain)
        let left =
            StyledText(isSelected ? "  › " : "    ", .strong) + StyledText("\(look.mark) ", look.style) + name
            + StyledText("   \(exercise.title)", .quiet)
        let score = StyledText("\(got)/\(of)", isPassed ? .good : .quiet)
        return left.truncated(to: width - score.width - 2).justified(with: score, to: width)
    }

    private func reading(
        _ title: String, _ page: [StyledText], _ state: inout WalkState, room: Int
    ) -> [StyledText] {
        let visible = room - 2
        let last = max(0, page.count - visible)
        state.scroll = min(state.scroll, last)
        let share = last == 0 ? "" : "\(state.scroll * 100 / last) %"
        let heading = StyledText(title, .quiet).truncated(to: width - 8).justified(
            with: StyledText(share, .quiet), to: width)
        return [heading, StyledText()] + page.dropFirst(state.scroll).prefix(visible)
    }
}
