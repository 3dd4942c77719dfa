import Course
import LabCore

extension Command {
    static let list = Command(
        name: "list",
        usage: ["", "LESSON..."],
        summary: Text(en: "the lessons, or a lesson's exercises and checks", zh: "列出课程，或者一课的练习和检查"),
        details: Text(
            en:
                "Marks: ✔ passed, ✘ failed, ○ not started, – not possible on this machine, · never run. Each shows how the "
                + "check went the last time it ran.",
            zh: "标记：✔ 通过，✘ 未通过，○ 还没开始，– 这台机器做不了，· 从未运行。显示的都是最近一次运行的结果。"),
        examples: [
            Example("lab list", "all lessons, with your points", "所有课程和你的得分"),
            Example("lab list 04", "the exercises and checks of lesson 04", "第 04 课的练习和检查"),
        ],
        words: 0...99
    ) { invocation in
        let workspace = try invocation.workspace()
        let catalogue = try workspace.catalogue()
        let progress = invocation.progress(workspace)
        let text = ListText(
            catalogue: catalogue, workspace: workspace, progress: progress, width: invocation.console.width)
        if invocation.words.isEmpty {
            invocation.console.print(text.lessons())
            return .success
        }
        for (index, word) in invocation.words.enumerated() {
            if index > 0 { invocation.console.print("") }
            invocation.console.print(text.lesson(try catalogue.find(lesson: word)))
        }
        return .success
    }
}
