// What a command is: its name, its help, and what it does. One file a command in `Commands`; `allCommands` lists them.
import Course
import Foundation
import LabCore

struct Command: Sendable {
    var name: String
    /// The forms that it takes, without `lab NAME`: `[LESSON [CHECK or EXERCISE]...]`.
    var usage: [String]
    /// One line for the list of commands.
    var summary: Text
    /// What a person should know besides; paragraphs.
    var details: Text?
    var options: [OptionSpecification] = []
    var examples: [Example] = []
    /// How many words it takes besides its options.
    var words: ClosedRange<Int>
    /// Called by the lab itself; not in the list.
    var isHidden = false
    var run: @Sendable (Invocation) throws -> ExitCode

    struct Example: Sendable {
        var line: String
        var meaning: Text

        init(_ line: String, _ english: String, _ chinese: String) {
            self.line = line
            self.meaning = Text(en: english, zh: chinese)
        }
    }
}

/// The commands by who needs them, in the order of the help.
let commandGroups: [(title: Text, commands: [Command])] = [
    (
        Text(en: "Learn", zh: "学习"),
        [
            .check,
            .watch,
            .list,
            .show,
            .hint,
            .trace,
            .solution,
            .diff,
            .reset,
            .progress,
            .run,
            .demos,
        ]
    ),
    (
        Text(en: "Teach", zh: "教学"),
        [
            .new,
            .lint,
            .mistakes,
            .mutants,
            .soak,
        ]
    ),
    (
        Text(en: "The lab itself", zh: "实验环境"),
        [
            .doctor,
            .bench,
            .help,
            .judge,
        ]
    ),
]

let allCommands = commandGroups.flatMap(\.commands)

/// The options that every command takes.
let commonOptions = [
    OptionSpecification("--lang", value: "en|zh-Hans", "the language", "语言"),
    OptionSpecification("--no-color", "no colour (NO_COLOR does the same)", "不用颜色（NO_COLOR 也一样）"),
    OptionSpecification("--help", short: "-h", "what the command does", "这个命令的说明"),
]

/// A command being carried out.
struct Invocation: Sendable {
    var command: Command
    var arguments: Arguments
    var console: Console

    var words: [String] { arguments.words }
    func has(_ option: String) -> Bool { arguments.has(option) }

    func workspace() throws(CommandError) -> Workspace { try Workspace.find() }

    /// CourseProgress so far; a notice about it goes to the student.
    func progress(_ workspace: Workspace) -> CourseProgress {
        let reading = ProgressFile(workspace).read()
        if let notice = reading.notice { console.complain(notice) }
        return reading.progress
    }

    /// Keeps a change of the progress; that it cannot be kept is said and does not stop the command.
    func keep(_ workspace: Workspace, _ change: (inout CourseProgress) -> Void) {
        do throws(CommandError) {
            if let notice = try ProgressFile(workspace).update(change) { console.complain(notice) }
        } catch { console.complain(error.description) }
    }

    func seed() throws(CommandError) -> UInt64? {
        guard let text = arguments.options["--seed"] else { return nil }
        guard let seed = UInt64(text) else {
            throw .usage(
                say("--seed takes a whole number, not \(text).", "--seed 要一个非负整数，而不是 \(text)。"))
        }
        return seed
    }

    /// What the command works on, with its words: the workspace, its catalogue and the selected lesson.
    func lesson() throws(CommandError) -> (Workspace, Catalogue, Catalogue.Lesson) {
        let workspace = try workspace()
        let catalogue = try workspace.catalogue()
        guard let word = words.first else {
            throw .usage(
                say(
                    "Which lesson? For example: lab \(command.name) 04", "哪一课？例如：lab \(command.name) 04"))
        }
        return (workspace, catalogue, try catalogue.find(lesson: word))
    }

    /// The exercise that the second word names; without one, the first of the lesson that is not passed yet.
    func exercise(
        of lesson: Catalogue.Lesson, _ progress: CourseProgress
    ) throws(CommandError) -> Catalogue.Exercise {
        if words.count > 1 { return try lesson.find(exercise: words[1]) }
        guard
            let exercise = lesson.exercises.first(where: { !progress.passed($0, of: lesson) }) ?? lesson.exercises.first
        else {
            throw .failure(say("Lesson \(lesson.slug) has no exercises.", "\(lesson.slug) 没有练习。"))
        }
        return exercise
    }
}
