import Course
import Foundation
import LabCore

extension Command {
    static let solution = Command(
        name: "solution",
        usage: ["LESSON [EXERCISE]"],
        summary: Text(en: "the reference solution", zh: "查看参考实现"),
        details: Text(
            en:
                "After your code has passed, or when you ask for it twice. Without an EXERCISE it is the first that is not "
                + "passed.",
            zh: "你的代码通过之后可以看；没通过时要问两次。不写 EXERCISE 时是第一个没有通过的练习。"),
        examples: [
            Example("lab solution 04 uppercase-server", "how the reference does it", "参考实现的写法"),
            Example("lab diff 04 uppercase-server", "what differs from yours", "与你的代码的差别"),
        ],
        words: 1...2
    ) { invocation in
        let (workspace, _, lesson) = try invocation.lesson()
        let exercise = try invocation.exercise(of: lesson, invocation.progress(workspace))
        guard try mayShowSolution(exercise, of: lesson, workspace, invocation) else { return .notPassed }
        let file = workspace.solution(exercise, of: lesson)
        let console = invocation.console
        let lines = [StyledText(workspace.relative(file), .quiet), StyledText()] + (try source(file, workspace))
        let page = lines.map { $0.rendered(color: console.color) + "\n" }.joined()
        try Command.show(page, lines.count, on: console)
        return .success
    }

    static let diff = Command(
        name: "diff",
        usage: ["LESSON [EXERCISE]"],
        summary: Text(en: "your file against the reference", zh: "你的文件与参考实现的差别"),
        details: Text(
            en:
                "In the form of diff -u: lines with - are yours, lines with + are the reference's. It shows the solution, so "
                + "before your code has passed you have to ask twice.",
            zh: "格式同 diff -u：- 开头的是你的，+ 开头的是参考实现的。它会露出答案，所以没通过时要问两次。"),
        examples: [Example("lab diff 04 uppercase-server", "yours against the reference", "你的代码与参考实现对比")],
        words: 1...2
    ) { invocation in
        let (workspace, _, lesson) = try invocation.lesson()
        let exercise = try invocation.exercise(of: lesson, invocation.progress(workspace))
        guard try mayShowSolution(exercise, of: lesson, workspace, invocation) else { return .notPassed }
        let mine = workspace.file(exercise, of: lesson)
        let reference = workspace.solution(exercise, of: lesson)
        let difference = LineDifference(from: try read(mine, workspace), to: try read(reference, workspace))
        let console = invocation.console
        if difference.isEmpty {
            console.print(say("No difference.", "没有差别。"))
            return .success
        }
        let lines = difference.text(old: workspace.relative(mine), new: workspace.relative(reference))
        try Command.show(lines.map { $0.rendered(color: console.color) + "\n" }.joined(), lines.count, on: console)
        return .success
    }

    /// Swift source with its comments set back: they are half of what a solution has to say, but not the code.
    static func source(_ file: URL, _ workspace: Workspace) throws(CommandError) -> [StyledText] {
        var lines = visibleLines(try read(file, workspace)).map { line in
            line.drop { $0 == " " }.hasPrefix("//") ? StyledText(line, .quiet) : StyledText(line)
        }
        while lines.last?.isEmpty == true { lines.removeLast() }
        return lines
    }

    static func read(_ file: URL, _ workspace: Workspace) throws(CommandError) -> String {
        do { return try String(contentsOf: file, encoding: .utf8) } catch {
            throw .failure(
                say("\(workspace.relative(file)) cannot be read.", "读不了 \(workspace.relative(file))。"))
        }
    }

    /// True if the exercise is passed, or this is the second time that the student asks.
    private static func mayShowSolution(
        _ exercise: Catalogue.Exercise, of lesson: Catalogue.Lesson, _ workspace: Workspace, _ invocation: Invocation
    ) throws(CommandError) -> Bool {
        if invocation.progress(workspace).passed(exercise, of: lesson) { return true }
        var asked = 1
        invocation.keep(workspace) { asked = $0.askForSolution(exercise.id, of: lesson.slug) }
        if asked > 1 { return true }
        let lines =
            StyledText(
                say(
                    "You have not passed \(lesson.number) \(exercise.id) yet.",
                    "你还没有通过 \(lesson.number) \(exercise.id)。"), .strong
            ).wrapped(to: invocation.console.width)
            + StyledText(
                say(
                    "A hint may be enough: lab hint \(lesson.number). To see the solution all the same, ask once more: "
                        + "lab \(invocation.command.name) \(lesson.number) \(exercise.id)",
                    "也许一个提示就够了：lab hint \(lesson.number)。如果还是想看答案，请再问一次："
                        + "lab \(invocation.command.name) \(lesson.number) \(exercise.id)")
            ).wrapped(to: invocation.console.width)
        invocation.console.print(lines)
        return false
    }
}
