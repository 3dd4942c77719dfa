import Course
import LabCore

extension Command {
    static let new = Command(
        name: "new",
        usage: ["lesson NUMBER NAME [--kind KIND]", "exercise LESSON NAME [--kind KIND]"],
        summary: Text(en: "add a lesson or an exercise to the course", zh: "给课程添加一课或一个练习"),
        details: Text(
            en:
                "Writes everything that belongs to it: the student's file, the solution, the contract, a grader with one "
                + "check, the catalogue entry with hints, the texts in both languages, and registers it. It builds as it "
                + "is: the exercise is \"not started\", its solution passes. Then replace what it does by what you want to "
                + "teach; CONTRIBUTING.md goes through an example. Nothing is overwritten.",
            zh:
                "写出所需的一切：学生的文件、参考答案、契约、带一项检查的评测代码、带提示的目录条目、双语课文，并且登记好。"
                + "写完就能构建：练习是“还没开始”，参考答案通过。然后把内容换成你要教的；CONTRIBUTING.zh-Hans.md 里有完整的例子。不会覆盖任何文件。"),
        options: [
            OptionSpecification(
                "--kind", value: "tcp|udp|function",
                "what the skeleton does: a server (tcp unless told), or a function",
                "骨架是什么：服务器（默认 tcp）或函数")
        ],
        examples: [
            Example("lab new lesson 17 my-topic", "a lesson with one exercise in it", "新的一课，带一个练习"),
            Example("lab new exercise 04 my-exercise", "one more exercise in lesson 04", "在第 04 课加一个练习"),
            Example("lab new exercise 01 swap-words --kind function", "a function of values", "一个处理数据的函数"),
        ],
        words: 0...3
    ) { invocation in
        let words = invocation.words
        guard let what = words.first, ["lesson", "exercise"].contains(what) else {
            throw CommandError.usage(
                say(
                    "Say what is to be new: `lab new lesson 17 my-topic` or `lab new exercise 04 my-exercise`.",
                    "请说明要新建什么：`lab new lesson 17 my-topic` 或 `lab new exercise 04 my-exercise`。"))
        }
        guard words.count == 3 else {
            throw CommandError.usage(
                what == "lesson"
                    ? say(
                        "A new lesson needs a number and a name: `lab new lesson 17 my-topic`.",
                        "新的一课需要编号和名字：`lab new lesson 17 my-topic`。")
                    : say(
                        "A new exercise needs its lesson and a name: `lab new exercise 04 my-exercise`.",
                        "新练习需要所属的课和名字：`lab new exercise 04 my-exercise`。"))
        }
        let kind = try kind(invocation.arguments.options["--kind"])
        let workspace = try invocation.workspace()
        let transaction = FileTransaction(workspace)
        let finished = try transaction.finish()
        if !finished.isEmpty {
            invocation.console.complain(
                say(
                    "finished what an interrupted `lab new` had begun: \(finished.joined(separator: ", "))",
                    "完成了上次中断的 `lab new`：\(finished.joined(separator: "、"))"))
        }
        if what == "lesson" {
            let (slug, exercise, changes) = try Scaffold(workspace).lesson(
                number: words[1], topic: words[2], kind: kind)
            try transaction.commit(changes)
            report(changes, lesson: slug, exercise: exercise, in: invocation.console)
        } else {
            let lesson = try workspace.catalogue().find(lesson: words[1])
            let changes = try Scaffold(workspace).exercise(lesson: lesson.slug, id: words[2], kind: kind)
            try transaction.commit(changes)
            report(changes, lesson: lesson.slug, exercise: words[2], in: invocation.console)
        }
        return .success
    }

    private static func kind(_ word: String?) throws(CommandError) -> ExerciseKind {
        guard let word else { return .tcp }
        if let kind = ExerciseKind(rawValue: word) { return kind }
        throw .usage(
            say("--kind is tcp, udp or function, not \(word).", "--kind 是 tcp、udp 或 function，而不是 \(word)。"))
    }

    private static func report(_ changes: FileChanges, lesson: String, exercise: String, in console: Console) {
        for path in changes.created { console.print(StyledText("+ ", .good) + StyledText(path)) }
        for path in changes.edited { console.print(StyledText("~ ", .waiting) + StyledText(path)) }
        let number = lesson.prefix(2)
        let check = "lab check \(number) \(exercise)"
        let steps = [
            ("swift build", say("lab learns to judge it", "让 lab 学会评它")),
            (check, say("not started, as it should be", "还没开始，正该如此")),
            (check + " --solution", say("its solution passes", "参考答案通过")),
            ("lab lint", say("everything fits together", "各处相互一致")),
        ]
        console.print("")
        let column = max(44, steps[2].0.count + 3)
        for (command, meaning) in steps {
            console.print(StyledText(command, .code).padded(to: column) + StyledText(meaning, .quiet))
        }
    }
}
