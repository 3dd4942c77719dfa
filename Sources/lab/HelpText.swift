// The help, from the same table that runs the commands.
import Course
import LabCore
import Wire

let labVersion = "0.1.0"

struct HelpText {
    var width: Int

    func overview() -> [StyledText] {
        var lines = [
            StyledText("SocketLab", .strong)
                + StyledText(say("  learn socket programming in Swift", "  用 Swift 学习套接字编程"), .quiet),
            StyledText(),
        ]
        lines += row("lab", say("where you are, and checks at every save", "看看进行到哪里，每次保存自动检查"), 18)
        for group in commandGroups {
            lines += [StyledText(), StyledText(group.title.description, .strong)]
            for command in group.commands where !command.isHidden {
                lines += row("lab \(command.name)", command.summary.description, 18)
            }
        }
        lines += [StyledText(), StyledText(say("Options of all commands", "所有命令都有的选项"), .strong)]
        for option in commonOptions { lines += row(spelling(option), option.summary.description, 24) }
        lines += row("--version", say("the lab's version", "版本"), 24)
        lines += [StyledText(), StyledText(say("Start with", "从这里开始"), .strong)]
        lines += row("lab show 01", say("read the first lesson", "阅读第一课"), 18)
        lines += row("lab check 01", say("check what you wrote", "检查你写的代码"), 18)
        lines += row("lab help check", say("more about a command", "了解一个命令"), 18)
        return lines
    }

    func lines(_ command: Command) -> [StyledText] {
        var lines: [StyledText] = []
        for (index, form) in command.usage.enumerated() {
            let lead =
                index == 0
                ? say("usage  ", "用法  ") : String(repeating: " ", count: displayWidth(say("usage  ", "用法  ")))
            let text = StyledText(lead, .quiet) + StyledText(("lab \(command.name) " + form).trimmed, .code)
            lines += text.wrapped(to: width, hanging: displayWidth(lead) + 4)
        }
        lines.append(StyledText())
        lines += StyledText(sentence(command.summary.description)).wrapped(to: width)
        for paragraph in (command.details?.description ?? "").split(separator: "\n") {
            lines.append(StyledText())
            lines += StyledText(String(paragraph)).wrapped(to: width)
        }
        lines += [StyledText(), StyledText(say("Options", "选项"), .strong)]
        for option in command.options + commonOptions { lines += row(spelling(option), option.summary.description, 22) }
        if !command.examples.isEmpty {
            lines += [StyledText(), StyledText(say("Examples", "例子"), .strong)]
            let column = 4 + (command.examples.map { displayWidth($0.line) }.max() ?? 0)
            for example in command.examples { lines += row(example.line, example.meaning.description, column) }
        }
        return lines
    }

    private func spelling(_ option: OptionSpecification) -> String {
        let name = option.short.map { "\(option.name), \($0)" } ?? option.name
        return option.value.map { "\(name) \($0)" } ?? name
    }

    /// `  name    meaning`, the meaning under the name where they do not fit.
    private func row(_ name: String, _ meaning: String, _ column: Int) -> [StyledText] {
        let start = StyledText("  ") + StyledText(name, .code)
        if start.width + 2 <= column, width - column >= 24 {
            return (start.padded(to: column) + StyledText(meaning)).wrapped(to: width, hanging: column)
        }
        let indent = min(column, 6)
        return [start]
            + StyledText(meaning).wrapped(to: width - indent).map {
                StyledText(String(repeating: " ", count: indent)) + $0
            }
    }

    private func sentence(_ text: String) -> String {
        let capitalized = text.prefix(1).uppercased() + text.dropFirst()
        return text.hasSuffix("?") || text.hasSuffix("？") ? capitalized : capitalized + say(".", "。")
    }
}

extension String {
    var trimmed: String {
        var text = self
        while text.hasSuffix(" ") { text.removeLast() }
        return text
    }
}
