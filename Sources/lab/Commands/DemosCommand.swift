import Course
import Foundation
import LabCore

extension Command {
    static let demos = Command(
        name: "demos",
        usage: ["[--json]"],
        summary: Text(en: "the demos that `lab run` shows", zh: "列出 `lab run` 的演示"),
        options: [OptionSpecification("--json", "one JSON array", "输出一个 JSON 数组")],
        examples: [Example("lab demos", "all demos by lesson", "按课程列出所有演示")],
        words: 0...0
    ) { invocation in
        let console = invocation.console
        // Outside the package there is no catalogue: each demo has a title of its own, too.
        let catalogue = (try? invocation.workspace()).flatMap { try? $0.catalogue() }
        if invocation.has("--json") {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
            let listed = Demo.all.map {
                ListedDemo(id: $0.id, lesson: $0.lesson, title: $0.title(catalogue), port: $0.port)
            }
            console.print(String(decoding: try encoder.encode(listed), as: UTF8.self))
            return .success
        }
        let column = 2 + 2 + (Demo.all.map(\.id.count).max() ?? 0)
        var lesson = ""
        for demo in Demo.all {
            if demo.lesson != lesson {
                if !lesson.isEmpty { console.print("") }
                lesson = demo.lesson
                let title = catalogue?.lesson(lesson)?.title.description ?? ""
                console.print(StyledText(lesson, .strong) + StyledText("  " + title, .quiet))
            }
            let line =
                (StyledText("  ") + StyledText(demo.id, .code)).padded(to: column)
                + StyledText(demo.title(catalogue).description)
            console.print(line.wrapped(to: console.width, hanging: column))
        }
        return .success
    }
}

/// A demo as `lab demos --json` prints it.
private struct ListedDemo: Encodable {
    var id: String
    var lesson: String
    var title: Text
    /// Null if it uses none.
    var port: UInt16?

    enum Key: String, CodingKey { case id, lesson, title, port }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: Key.self)
        try container.encode(id, forKey: .id)
        try container.encode(lesson, forKey: .lesson)
        try container.encode(title, forKey: .title)
        try container.encode(port, forKey: .port)
    }
}
