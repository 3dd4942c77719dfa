import Course
import LabCore

extension Command {
    static let help = Command(
        name: "help",
        usage: ["[COMMAND]"],
        summary: Text(en: "this list, or more about a command", zh: "本列表，或者某个命令的说明"),
        examples: [
            Example("lab help", "all commands", "所有命令"),
            Example("lab help check", "what `lab check` does, with examples", "`lab check` 的说明和例子"),
        ],
        words: 0...1
    ) { invocation in
        let help = HelpText(width: invocation.console.width)
        guard let name = invocation.words.first else {
            invocation.console.print(help.overview())
            return .success
        }
        guard let command = allCommands.first(where: { $0.name == name }) else { throw unknownCommand(name) }
        invocation.console.print(help.lines(command))
        return .success
    }
}
