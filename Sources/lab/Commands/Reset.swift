import Course
import LabCore

extension Command {
    static let reset = Command(
        name: "reset",
        usage: ["LESSON [EXERCISE]"],
        summary: Text(en: "start an exercise again from its stub", zh: "把练习恢复成最初的样子"),
        details: Text(
            en:
                "Your file is kept beside it as FILE.mine-1, FILE.mine-2 and so on: nothing is lost. Without an EXERCISE all "
                + "files of the lesson are reset.",
            zh: "你的文件会留在旁边，名为 FILE.mine-1、FILE.mine-2……：什么也不会丢。不写 EXERCISE 时恢复本课所有文件。"),
        examples: [Example("lab reset 04 uppercase-server", "the stub again, yours kept", "恢复原始文件，保留你的")],
        words: 1...2
    ) { invocation in
        let (workspace, _, lesson) = try invocation.lesson()
        let exercises =
            invocation.words.count > 1 ? [try lesson.find(exercise: invocation.words[1])] : lesson.exercises
        var seen: Set<String> = []
        for exercise in exercises where seen.insert(exercise.file).inserted {
            let path = workspace.relative(workspace.file(exercise, of: lesson))
            let width = invocation.console.width
            switch try Stubs(workspace).reset(exercise, of: lesson) {
            case .wasStub:
                let text = say("is the stub already", "本来就是原始文件")
                invocation.console.print(
                    (StyledText("– \(path)  ") + StyledText(text, .quiet)).wrapped(to: width, hanging: 4))
            case .restored(let source, let kept):
                let line = StyledText("✔ ", .good) + StyledText(path) + StyledText("  " + source.text, .quiet)
                invocation.console.print(line.wrapped(to: width, hanging: 4))
                guard let kept else { continue }
                let text = say("yours is kept as ", "你的保留为 ") + workspace.relative(kept)
                invocation.console.print(StyledText("  " + text, .quiet).wrapped(to: width, hanging: 4))
            }
        }
        return .success
    }
}

extension Stubs.Source {
    fileprivate var text: String {
        switch self {
        case .kept: return say("the stub, from .lab/stubs", "原始文件，来自 .lab/stubs")
        case .head: return say("the stub, from git", "原始文件，来自 git")
        case .firstCommit: return say("the stub, from the first commit that has it", "原始文件，来自最早的提交")
        }
    }
}
