// From the words of the command line to a command that runs, and from what it did to an exit code.
import Course
import Foundation
import LabCore
import Sockets

func runLab(_ line: [String]) -> ExitCode {
    var line = line
    do {
        // The language first: everything after this may have to speak.
        let valued = allCommands.flatMap(\.options).filter { $0.value != nil }
        var common = try Arguments.parse(line, options: commonOptions + [version] + valued, lenient: true)
        try chooseLanguage(common.options["--lang"])
        let console = Console(noColor: common.has("--no-color"))
        if common.has("--version"), common.words.isEmpty {
            console.print("SocketLab \(labVersion)")
            return .success
        }
        guard let position = position(of: common.words.first { !$0.hasPrefix("-") }, in: line, valued) else {
            return try withoutCommand(common, console)
        }
        let name = line.remove(at: position)
        guard let command = allCommands.first(where: { $0.name == name }) else { throw unknownCommand(name) }
        if common.has("--help") {
            console.print(HelpText(width: console.width).lines(command))
            return .success
        }
        common = try Arguments.parse(line, options: commonOptions + command.options)
        try checkWords(common, of: command)
        return try command.run(Invocation(command: command, arguments: common, console: console))
    } catch {
        let error = error as? CommandError ?? .failure("\(error)")
        Console(noColor: false).complain(error.description)
        return error.exit
    }
}

private let version = OptionSpecification("--version", "the lab's version", "版本")

/// Where in the line the command's name is: not every word is one, the value of an option may look the same.
private func position(of name: String?, in line: [String], _ valued: [OptionSpecification]) -> Int? {
    guard let name else { return nil }
    let takers = Set((valued + commonOptions.filter { $0.value != nil }).map(\.name))
    return line.indices.first { line[$0] == name && ($0 == 0 || !takers.contains(line[$0 - 1])) }
}

private func withoutCommand(_ common: Arguments, _ console: Console) throws -> ExitCode {
    if let option = common.words.first(where: { $0.hasPrefix("-") }) {
        throw CommandError.usage(
            say("There is no option \(option).", "没有 \(option) 这个选项。")
                + say(" `lab help` shows all commands.", "`lab help` 列出所有命令。"))
    }
    if common.has("--help") {
        console.print(HelpText(width: console.width).overview())
        return .success
    }
    let invocation = Invocation(command: .help, arguments: common, console: console)
    return try start(invocation)
}

private func chooseLanguage(_ tag: String?) throws(CommandError) {
    guard let tag else { return }
    guard
        let language = Language.allCases.first(where: { $0.rawValue.lowercased() == tag.lowercased() })
            ?? (tag.lowercased().hasPrefix("zh") ? .chinese : tag.lowercased().hasPrefix("en") ? .english : nil)
    else {
        throw .usage(
            say("--lang is en or zh-Hans, not \(tag).", "--lang 是 en 或 zh-Hans，而不是 \(tag)。"))
    }
    Language.current = language
    // The programs that we start speak it, too.
    setenv("LAB_LANG", language.rawValue, 1)
}

func unknownCommand(_ name: String) -> CommandError {
    let names = allCommands.filter { !$0.isHidden }.map(\.name)
    return .usage(
        say("There is no command \(name).", "没有 \(name) 这个命令。")
            + (nearest(to: name, among: names).map { say(" Did you mean `lab \($0)`?", "是不是想用 `lab \($0)`？") }
                ?? say(" `lab help` shows all.", "`lab help` 列出所有命令。")))
}

private func checkWords(_ arguments: Arguments, of command: Command) throws(CommandError) {
    let count = arguments.words.count
    guard count > command.words.upperBound else { return }
    let extra = arguments.words[command.words.upperBound]
    throw .usage(
        say("lab \(command.name): \"\(extra)\" is one word too many.", "lab \(command.name)：多了 \"\(extra)\"。")
            + say(
                " `lab help \(command.name)` shows how it is used.", "`lab help \(command.name)` 说明用法。"))
}
