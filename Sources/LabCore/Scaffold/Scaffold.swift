// `lab new`: what a lesson or an exercise is made of, in every place where it must be known. Composes `FileChanges` and
// writes nothing itself.
import Course
import Foundation
import Sockets

public struct Scaffold {
    public let workspace: Workspace
    private let files: ProjectFiles

    public init(_ workspace: Workspace) {
        self.workspace = workspace
        files = ProjectFiles(root: workspace.root)
    }

    // MARK: A lesson

    /// - Parameter number: as it was typed: `17`.
    /// - Returns: the lesson's slug, the exercise that it begins with, and what is to be written.
    public func lesson(
        number word: String, topic: String, kind: ExerciseKind
    ) throws(CommandError) -> (slug: String, exercise: String, changes: FileChanges) {
        let number = try freeNumber(word)
        try checkName(topic)
        if let taken = slugs.first(where: { $0.dropFirst(3) == topic }) {
            throw .usage(
                say(
                    "The name \(topic) is taken by lesson \(taken): choose another.",
                    "\(topic) 这个名字已被 \(taken) 用了：请换一个。"))
        }
        let template = LessonTemplate(slug: "\(number)-\(topic)", kind: kind)
        var changes = FileChanges()
        for file in template.files { changes.create(file.path, file.text) }
        for isChinese in [false, true] { try addReadmeRow(of: template, isChinese, to: &changes) }
        try addReference(number, to: &changes)
        try addGrader(number, to: &changes)
        // Last: with this line SwiftPM knows the lesson.
        try addToPackage(template.slug, to: &changes)
        return (template.slug, template.exercise.id, changes)
    }

    private var slugs: [String] {
        Set(["Lessons", "Exercises", "Solutions"].flatMap { files.names(in: $0) }).filter { name in
            name.count > 3 && name.prefix(2).allSatisfy(\.isNumber) && name.dropFirst(2).first == "-"
        }.sorted()
    }

    private func freeNumber(_ word: String) throws(CommandError) -> String {
        guard word.count <= 2, word.allSatisfy({ $0.isASCII && $0.isNumber }), let value = Int(word), value > 0 else {
            throw .usage(
                say(
                    "\(word) is not the number of a lesson: 01 to 99, for example `lab new lesson 17 my-topic`.",
                    "\(word) 不是课程编号：应为 01 到 99，例如 `lab new lesson 17 my-topic`。"))
        }
        let number = value < 10 ? "0\(value)" : "\(value)"
        if let taken = slugs.first(where: { $0.hasPrefix(number + "-") }) {
            let used = Set(slugs.compactMap { Int($0.prefix(2)) })
            let free = (1...99).first { $0 > (used.max() ?? 0) } ?? (1...99).first { !used.contains($0) }
            let next = free.map { $0 < 10 ? "0\($0)" : "\($0)" }
            throw .usage(
                say("Lesson \(number) is there already: \(taken).", "第 \(number) 课已经存在：\(taken)。")
                    + (next.map { say(" The next free number is \($0).", "下一个可用的编号是 \($0)。") } ?? ""))
        }
        return number
    }

    private func checkName(_ name: String) throws(CommandError) {
        guard Slug.isValid(name), name.count <= 40 else {
            throw .usage(
                say(
                    "\(name) is not a name: use lower-case letters, digits and single dashes, 40 at most, as in my-topic.",
                    "\(name) 不能作为名字：请用小写字母、数字和单个短横线，最多 40 个字符，例如 my-topic。"))
        }
    }

    private func addToPackage(_ slug: String, to changes: inout FileChanges) throws(CommandError) {
        let file = "Package.swift"
        var edit = SourceEdit(files.text(file))
        guard let start = edit.end(of: "let lessons = ["), let end = edit.closing(after: start) else {
            throw place("let lessons = […]", in: file)
        }
        let list = String(decoding: edit.original[start..<end], as: UTF8.self)
        let next = list.matches(of: /\n *"(\d\d-[^"]+)"/).first { String($0.1) > slug }
        let offset = next.map { start + list[..<$0.range.lowerBound].utf8.count } ?? edit.endOfText(before: end)
        if offset > start, edit.original[offset - 1] != UInt8(ascii: ","),
            edit.original[offset - 1] != UInt8(ascii: "[")
        {
            edit.insert(",", at: offset)
        }
        edit.insert("\n    \"\(slug)\",", at: offset)
        changes.replace(file, files.text(file), by: edit.text)
    }

    private func addGrader(_ number: String, to changes: inout FileChanges) throws(CommandError) {
        try addToList(
            "lesson\(number)", after: "allGraders: [LessonGrader] = [", pattern: /lesson(\d\d)/,
            in: "Sources/Graders/AllGraders.swift", to: &changes)
    }

    private func addReference(_ number: String, to changes: inout FileChanges) throws(CommandError) {
        let file = "Sources/lab/References.swift"
        try addToList(
            "Solution\(number).reference", after: "references: [any LessonContract] {", pattern: /Solution(\d\d)/,
            in: file, to: &changes
        ) { edit in
            let lines = files.lines(file)
            let imports = lines.indices.filter { lines[$0].hasPrefix("import ") }
            let own = "import Solution\(number)"
            let next = imports.first { lines[$0] > own } ?? imports.last.map { $0 + 1 } ?? 0
            edit.insert(own + "\n", at: edit.start(ofLine: next + 1))
        }
    }

    /// Adds an element to an array literal with one element a line, in the order of the lessons.
    private func addToList(
        _ element: String, after opening: String, pattern: Regex<(Substring, Substring)>, in file: String,
        to changes: inout FileChanges, also: (inout SourceEdit) -> Void = { _ in }
    ) throws(CommandError) {
        var edit = SourceEdit(files.text(file))
        guard let opened = edit.end(of: opening),
            let start = opening.hasSuffix("[") ? opened : edit.end(of: "[", from: opened),
            let end = edit.closing(after: start)
        else { throw place(opening, in: file) }
        let old = String(decoding: edit.original[start..<end], as: UTF8.self)
        let elements = old.split(whereSeparator: { $0 == "," || $0 == "\n" })
            .map { $0.trimmingCharacters(in: .whitespaces) }.filter { !$0.isEmpty }
        let indent = opening.hasSuffix("[") ? "    " : "        "
        let sorted = (elements + [element]).sorted { left, right in
            (left.firstMatch(of: pattern)?.1 ?? "") < (right.firstMatch(of: pattern)?.1 ?? "")
        }
        also(&edit)
        let new = sorted.map { "\n\(indent)\($0)," }.joined() + "\n\(indent.dropFirst(4))"
        changes.replace(file, files.text(file), by: edit.text(replacing: start..<end, by: new))
    }

    /// Readmes that have a table of lessons get a row.
    private func addReadmeRow(
        of template: LessonTemplate, _ isChinese: Bool, to changes: inout FileChanges
    ) throws(CommandError) {
        let file = isChinese ? "README.zh-Hans.md" : "README.md"
        let lines = files.lines(file)
        let rows = lines.indices.filter { lines[$0].hasPrefix("| [") && lines[$0].contains("](Lessons/") }
        guard let last = rows.last else { throw place("| [01](Lessons/…", in: file) }
        let next = rows.first { lines[$0].prefix(5).suffix(2) > template.number } ?? last + 1
        var edit = SourceEdit(files.text(file))
        edit.insert(template.readmeRow(isChinese), at: edit.start(ofLine: next + 1))
        changes.replace(file, files.text(file), by: edit.text)
    }

    // MARK: An exercise

    public func exercise(
        lesson slug: String, id: String, kind: ExerciseKind
    ) throws(CommandError) -> FileChanges {
        try checkName(id)
        let template = ExerciseTemplate(slug: slug, id: id, kind: kind)
        try checkIsFree(template)
        var changes = FileChanges()
        changes.create("Exercises/\(slug)/\(template.file)", template.stub)
        changes.create("Solutions/\(slug)/\(template.file)", template.solution)
        changes.create("Sources/Graders/Lesson\(template.number)+\(template.file)", template.checks)
        for isChinese in [false, true] { try addToText(template, isChinese, &changes) }
        try addToArguments(template, in: "Exercises/\(slug)/main.swift", &changes)
        try addToArguments(template, in: "Solutions/\(slug)/Reference.swift", &changes)
        try addToContract(template, &changes)
        try addToGrader(template, &changes)
        try addToTests(template, &changes)
        // Last: with this entry the catalogue knows the exercise.
        try addToCatalogue(template, &changes)
        return changes
    }

    private func checkIsFree(_ template: ExerciseTemplate) throws(CommandError) {
        let described = DescribedLesson.all(in: files).0.first { $0.slug == template.slug }
        let names = (described?.exercises.map(\.id) ?? []) + (described?.checks.map(\.id) ?? [])
        if let taken = names.first(where: { $0 == template.id || $0 == template.check }) {
            throw .usage(
                say(
                    "Lesson \(template.number) has \(taken) already: choose another name.",
                    "第 \(template.number) 课已经有 \(taken)：请换一个名字。"))
        }
        guard let owner = ReservedNames(files, slug: template.slug).owner(of: template) else { return }
        throw .usage(
            say(
                "\(template.name) would be a function of this lesson, but \(owner): choose another name, for example "
                    + "\(template.id)-server.",
                "\(template.name) 将是本课的一个函数，但是\(owner)：请换一个名字，例如 \(template.id)-server。"))
    }

    /// `Lesson04(…, myExercise: myExercise)`
    private func addToArguments(
        _ template: ExerciseTemplate, in file: String, _ changes: inout FileChanges
    ) throws(CommandError) {
        var edit = SourceEdit(files.text(file))
        guard let start = edit.end(of: "Lesson\(template.number)("), let end = edit.closing(after: start) else {
            throw place("Lesson\(template.number)(…)", in: file)
        }
        edit.insert(",\n" + template.argument, at: edit.endOfText(before: end))
        changes.replace(file, files.text(file), by: edit.text)
    }

    private func addToContract(_ template: ExerciseTemplate, _ changes: inout FileChanges) throws(CommandError) {
        let file = "Sources/Course/Lesson\(template.number).swift"
        var edit = SourceEdit(files.text(file))
        guard let type = edit.end(of: "struct Lesson\(template.number): LessonContract {"),
            let parameters = edit.end(of: "    public init(", from: type),
            let parametersEnd = edit.closing(after: parameters),
            let body = edit.end(of: "{", from: parametersEnd), let bodyEnd = edit.closing(after: body)
        else { throw place("public init(…) {…}", in: file) }
        guard let entries = edit.end(of: "var entries: [Entry] {", from: type),
            let list = edit.end(of: "[", from: entries),
            let listEnd = edit.closing(after: list)
        else { throw place("var entries: [Entry] { […] }", in: file) }
        let lineStart = { (offset: Int) in edit.endOfText(before: offset) + 1 }
        let opening = parameters - "    public init(".utf8.count
        edit.insert(template.property, at: lineStart(opening))
        edit.insert(",\n" + template.parameter, at: edit.endOfText(before: parametersEnd))
        edit.insert(template.assignment, at: lineStart(bodyEnd))
        let lastEntry = edit.endOfText(before: listEnd)
        if edit.original[lastEntry - 1] != UInt8(ascii: ",") { edit.insert(",", at: lastEntry) }
        edit.insert(template.entry, at: lineStart(listEnd))
        changes.replace(file, files.text(file), by: edit.text)
    }

    private func addToGrader(_ template: ExerciseTemplate, _ changes: inout FileChanges) throws(CommandError) {
        let file = "Sources/Graders/Lesson\(template.number).swift"
        var edit = SourceEdit(files.text(file))
        guard let start = edit.end(of: "let lesson\(template.number) = LessonGrader("),
            let end = edit.closing(after: start)
        else { throw place("let lesson\(template.number) = LessonGrader(…)", in: file) }
        edit.insert("\n        + \(template.checksName)", at: edit.endOfText(before: end))
        changes.replace(file, files.text(file), by: edit.text)
    }

    private func addToTests(_ template: ExerciseTemplate, _ changes: inout FileChanges) throws(CommandError) {
        let file = "Tests/Graders/Lesson\(template.number).swift"
        var edit = SourceEdit(files.text(file))
        guard let start = edit.end(of: "class Lesson\(template.number): LessonTestCase {"),
            let end = edit.closing(after: start)
        else { throw place("class Lesson\(template.number): LessonTestCase {…}", in: file) }
        edit.insert(template.testMethod, at: edit.endOfText(before: end) + 1)
        changes.replace(file, files.text(file), by: edit.text)
    }

    private func addToCatalogue(_ template: ExerciseTemplate, _ changes: inout FileChanges) throws(CommandError) {
        let file = "Lessons/\(template.slug)/lesson.json"
        let text = files.text(file)
        var edit = SourceEdit(text)
        let list: LocatedJSON?
        do { list = try LocatedJSON.parse(text)["exercises"] } catch {
            throw .failure("\(file):\(error.line): \(error.description)")
        }
        guard let list, case .array(let elements) = list.content else { throw place("\"exercises\": […]", in: file) }
        if let last = elements.last {
            edit.insert(",\n" + template.json, at: last.range.upperBound)
        } else {
            edit.insert("\n" + template.json + "\n  ", at: list.range.lowerBound + 1)
        }
        changes.replace(file, text, by: edit.text)
    }

    private func addToText(
        _ template: ExerciseTemplate, _ isChinese: Bool, _ changes: inout FileChanges
    ) throws(CommandError) {
        let file = "Lessons/\(template.slug)/\(isChinese ? "README.zh-Hans.md" : "README.md")"
        let text = files.text(file)
        let outline = Outline(text)
        guard let section = outline.section("what-is-graded") else { throw place("## What is graded", in: file) }
        var edit = SourceEdit(text)
        let lines = outline.lines
        // Its row in the table of exercises, if there is one.
        let header = lines.firstIndex { $0.hasPrefix("| exercise |") || $0.hasPrefix("| 练习 |") }
        if let header {
            let end = lines[header...].firstIndex { !$0.hasPrefix("|") } ?? lines.endIndex
            edit.insert(template.row(isChinese), at: edit.start(ofLine: end + 1))
        }
        // What teaches it, before what is graded; the anchor on the line before a heading belongs to it.
        var heading = section.heading.line
        while heading > 1, lines[heading - 2].hasPrefix("<a ") { heading -= 1 }
        edit.insert(template.section(isChinese) + "\n", at: edit.start(ofLine: heading))
        let end = edit.endOfText(before: edit.start(ofLine: section.lines.upperBound + 1))
        edit.insert("\n\n" + template.statement(isChinese).dropLast(), at: end)
        changes.replace(file, text, by: edit.text)
    }

    private func place(_ what: String, in file: String) -> CommandError {
        files.has(file)
            ? .failure(
                say(
                    "\(file) has no `\(what)` where this could be added: nothing was written.",
                    "\(file) 中没有可以添加的位置 `\(what)`：什么都没有写。"))
            : .failure(
                say("\(file) is missing: nothing was written.", "缺少 \(file)：什么都没有写。"))
    }
}
