// The ladder of hints, as far as it was climbed.
import Course

public struct HintText: Sendable {
    public var lesson: Catalogue.Lesson
    public var check: Catalogue.Check
    public var width: Int

    public init(lesson: Catalogue.Lesson, check: Catalogue.Check, width: Int) {
        self.lesson = lesson
        self.check = check
        self.width = width
    }

    public func lines(shown: Int) -> [StyledText] {
        let heading =
            StyledText("\(lesson.number) ", .quiet) + StyledText(check.id, .strong)
            + StyledText("   \(check.title)", .quiet)
        var lines = heading.wrapped(to: width, hanging: 3)
        for (index, hint) in check.hints.prefix(shown).enumerated() {
            lines.append(StyledText())
            let mark = StyledText("  \(index + 1)/\(check.hints.count)  ", .quiet)
            let newest = index == shown - 1
            let text = StyledText(hint.description, newest ? .plain : .quiet).wrapped(to: width - 7)
            for (row, line) in text.enumerated() { lines.append((row == 0 ? mark : StyledText("       ")) + line) }
        }
        lines.append(StyledText())
        let more =
            shown < check.hints.count
            ? say("Still stuck? The same command gives the next hint.", "还没想通？同样的命令给下一个提示。")
            : say(
                "That was the last hint. Read: lab show \(lesson.number) \(check.id)",
                "这是最后一个提示。可以阅读：lab show \(lesson.number) \(check.id)")
        return lines + StyledText(more, .quiet).wrapped(to: width)
    }
}
