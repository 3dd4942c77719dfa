import Course
import Foundation
import LabCore

extension Command {
    static let show = Command(
        name: "show",
        usage: ["LESSON [SECTION or CHECK]"],
        summary: Text(en: "read a lesson", zh: "阅读一课"),
        details: Text(
            en:
                "On a terminal the text goes through $PAGER, or less. SECTION is what stands after # in \"read\" lines; a "
                + "CHECK shows the section that teaches it.",
            zh: "在终端上通过 $PAGER（或 less）分页显示。SECTION 是\u{201C}阅读\u{201D}一行中 # 后面的部分；写 CHECK 则显示讲解它的那一节。"),
        examples: [
            Example("lab show 04", "the whole lesson", "整课"),
            Example("lab show 04 many-clients", "one section", "其中一节"),
            Example("lab show 04 two-clients", "what teaches the check two-clients", "讲解检查 two-clients 的一节"),
            Example("lab show 04 | cat", "without a pager", "不分页"),
        ],
        words: 1...2
    ) { invocation in
        var invocation = invocation
        // The place as verdicts write it: 04#many-clients, Lessons/04-tcp/README.md#many-clients
        if let parts = invocation.words.first?.split(separator: "#", maxSplits: 1), parts.count == 2 {
            let folder = parts[0].split(separator: "/").first { $0 != "Lessons" } ?? parts[0]
            invocation.arguments.words = [String(folder), String(parts[1])]
        }
        let (workspace, catalogue, own) = try invocation.lesson()
        var lesson = own
        var section = invocation.words.dropFirst().first
        if let check = lesson.checks.first(where: { $0.id == section }) {
            (lesson, section) = catalogue.place(check.read, in: lesson)
        }
        let file = workspace.text(of: lesson, in: Language.current)
        guard let source = try? String(contentsOf: file, encoding: .utf8) else {
            throw CommandError.failure(
                say("\(workspace.relative(file)) cannot be read.", "读不了 \(workspace.relative(file))。"))
        }
        var text = Markdown(source)
        if let section { text = try part(section, of: text, lesson) }
        let console = invocation.console
        let lines = MarkdownText(width: console.width, color: console.color).lines(text)
        let page = lines.map { $0.rendered(color: console.color) + "\n" }.joined()
        try show(page, lines.count, on: console)
        return .success
    }

    private static func part(
        _ word: String, of text: Markdown, _ lesson: Catalogue.Lesson
    ) throws(CommandError) -> Markdown {
        if let section = text.section(word) { return section }
        let names = text.anchors
        throw .usage(
            say("Lesson \(lesson.number) has no section \(word).", "第 \(lesson.number) 课没有 \(word) 这一节。")
                + (nearest(to: word, among: names).map { say(" Did you mean \($0)?", "是不是想看 \($0)？") }
                    ?? say(" It has: ", "它有：") + names.joined(separator: ", ")))
    }

    /// Through a pager if it does not fit on the screen.
    static func show(_ page: String, _ count: Int, on console: Console) throws(CommandError) {
        let rows = Terminal.size(1)?.rows ?? 24
        guard console.isTerminal, console.inputIsTerminal, count >= rows else {
            console.print(String(page.dropLast()))
            return
        }
        let pager = ProcessInfo.processInfo.environment["PAGER"].flatMap { $0.isEmpty ? nil : $0 } ?? "less"
        // Colours through, and leave what was read on the screen: what git(1) sets too.
        setenv("LESS", "FRX", 0)
        setenv("LESSCHARSET", "utf-8", 0)
        try Subprocess.runOnTerminal(pager, input: page)
    }
}
