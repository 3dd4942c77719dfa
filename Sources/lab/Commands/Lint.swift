import Course
import Foundation
import LabCore
import Sockets

extension Command {
    static let lint = Command(
        name: "lint",
        usage: ["[--fast] [--json]"],
        summary: Text(en: "check the course itself: texts, hints, graders, solutions", zh: "检查课程本身：课文、提示、评测、答案"),
        details: Text(
            en:
                "For those who change the course. Texts, catalogue and code must say the same things: every check has a "
                + "grader, an XCTest method, three hints and a sentence in the lesson in both languages; links lead "
                + "somewhere; no stub gets as far as a verdict, and every solution passes. Ends with 1 if anything is wrong.",
            zh: "给修改课程的人用。课文、目录和代码必须一致：每项检查都有评测代码、XCTest 方法、三条提示和两种语言的说明；"
                + "链接都有去处；初始文件不会得出结论，参考答案全部通过。有任何问题时退出码为 1。"),
        options: [
            OptionSpecification("--fast", "only read; build and run nothing", "只读文件，不构建也不运行"),
            OptionSpecification("--json", "one JSON object a finding, then a summary", "每个问题一个 JSON 对象，最后是总结"),
        ],
        examples: [
            Example("lab lint", "everything, a minute or more", "全部检查，需要一分钟以上"),
            Example("lab lint --fast", "while you write", "写的时候用"),
        ],
        words: 0...0
    ) { invocation in
        let workspace = try invocation.workspace()
        let lint = Lint(workspace, demos: Set(Demo.all.map(\.id)))
        var defects = lint.read()
        if !invocation.has("--fast") {
            let activity = Activity(invocation.console)
            defer { activity.end() }
            defects += try lint.run(
                rebuilt: { () throws(CommandError) in
                    activity.end()
                    try startAgain()
                },
                stage: { stage in
                    switch stage {
                    case .building: activity.now(say("building", "构建"))
                    case .stubs(let slug): activity.now(say("\(slug): stubs", "\(slug)：初始文件"))
                    case .solutions(let slug): activity.now(say("\(slug): solutions", "\(slug)：参考答案"))
                    }
                })
        }
        try show(defects, invocation)
        return defects.isEmpty ? .success : .notPassed
    }

    /// The build has replaced this program: the new one has the new graders.
    private static func startAgain() throws(CommandError) -> Never {
        guard let path = executablePath() else { throw .failure(say("run `lab lint` again", "请再运行一次 `lab lint`")) }
        // The path of a program whose file was replaced ends like this (proc(5)).
        let program = path.hasSuffix(" (deleted)") ? String(path.dropLast(" (deleted)".count)) : path
        var words = ([program] + CommandLine.arguments.dropFirst()).map { strdup($0) } + [nil]
        execv(program, &words)
        let code = errno
        throw .failure("\(program): \(errorText(code))")
    }

    private static func show(_ defects: [Defect], _ invocation: Invocation) throws {
        let console = invocation.console
        if invocation.has("--json") {
            for defect in defects { console.print(try defect.json()) }
            console.print("{\"event\":\"summary\",\"findings\":\(defects.count)}")
            return
        }
        for defect in defects {
            console.print(StyledText("✘ ", .bad) + StyledText(defect.place, .strong))
            console.print(StyledText("  " + defect.problem).wrapped(to: console.width, hanging: 2))
            console.print(StyledText("  → " + defect.remedy, .quiet).wrapped(to: console.width, hanging: 4))
        }
        let total = defects.count
        console.print(
            total == 0
                ? StyledText(say("nothing to complain about", "没有发现问题"), .good)
                : StyledText(say("\(total) finding\(total == 1 ? "" : "s")", "\(total) 个问题"), .bad))
    }
}
