// A lesson that does not compile, as its student reads it: the place, the compiler's words, and that the rest still works.
import Course
import Foundation

public struct BuildText: Sendable {
    public var workspace: Workspace
    public var width: Int

    public init(workspace: Workspace, width: Int) {
        self.workspace = workspace
        self.width = min(80, max(30, width))
    }

    public func lines(_ errors: [Diagnostic], in lesson: Catalogue.Lesson) -> [StyledText] {
        let heading = say("\(lesson.number) does not compile", "第 \(lesson.number) 课编译不通过")
        var lines = [StyledText("✘ ", .bad) + StyledText(heading, .strong)]
        for error in errors.prefix(3) { lines += text(error) }
        if errors.count > 3 {
            lines.append(StyledText())
            lines.append(
                StyledText(say("  and \(errors.count - 3) errors more", "  还有 \(errors.count - 3) 个错误"), .quiet))
        }
        lines.append(StyledText())
        if errors.contains(where: { $0.file.hasSuffix("/main.swift") }) {
            lines += paragraph(
                say(
                    "main.swift only wires your functions to the lab. An error there means that one of them was renamed, "
                        + "or takes or returns something else than it did.",
                    "main.swift 只负责把你的函数接到实验环境。那里出错，说明某个函数改了名字，或者参数、返回值变了。"))
        }
        lines += paragraph(
            say(
                "Only lesson \(lesson.number) is affected: `lab check NN` works for every other lesson.",
                "只影响第 \(lesson.number) 课：其他各课仍然可以用 `lab check NN`。"))
        return lines
    }

    private func text(_ error: Diagnostic) -> [StyledText] {
        var lines = [StyledText()]
        lines.append(
            StyledText("  \(workspace.relative(error.file)):\(error.line):\(error.column)", .code))
        lines += StyledText(visible(error.message)).wrapped(to: width - 2).map { StyledText("  ") + $0 }
        for row in error.excerpt {
            var row = visibleLines(row).joined()
            // The compiler repeats its message at the place; above it has been read already.
            let mark = row.range(of: "`- \(error.severity.rawValue): ")
            if let mark { row.replaceSubrange(mark.lowerBound..., with: "^") }
            lines.append((StyledText("  ") + StyledText(row, mark == nil ? .quiet : .bad)).truncated(to: width))
        }
        return lines
    }

    private func paragraph(_ text: String) -> [StyledText] {
        StyledText(text).wrapped(to: width - 2).map { StyledText("  ") + $0 }
    }
}
