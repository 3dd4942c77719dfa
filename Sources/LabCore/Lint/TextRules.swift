// Rules on texts: links and anchors lead somewhere, both languages have the same headings, and all that is graded is
// stated.
import Course
import Foundation

extension Lint {
    /// What the tests feed to the lab is not the project's own text.
    private var texts: [String] { files.paths.filter { $0.hasSuffix(".md") && !$0.hasPrefix("Tests/") } }

    /// Links between files, `read` anchors of the catalogue, and places that code comments send a student to.
    func anchorsAndLinks() -> [Defect] {
        var found: [Defect] = []
        for file in texts {
            for link in files.outline(file).links {
                guard let problem = problem(with: link.target, from: file) else { continue }
                found.append(
                    Defect(
                        "links", file, line: link.line, problem,
                        do: say("correct the link, or add what it leads to", "请改正链接，或补上它指向的内容")))
            }
        }
        return found + catalogueAnchors() + anchorsInCode()
    }

    /// Nil if the link leads somewhere, or out of the project.
    private func problem(with target: String, from file: String) -> String? {
        if target.contains("://") || target.hasPrefix("mailto:") { return nil }
        let parts = target.split(separator: "#", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        let folder = file.split(separator: "/").dropLast().joined(separator: "/")
        let path = parts[0].isEmpty ? file : resolve(parts[0].removingPercentEncoding ?? parts[0], in: folder)
        guard files.has(path) || files.hasFolder(path) || path.isEmpty else {
            return say("the link \(target) leads nowhere: there is no \(path)", "链接 \(target) 无处可去：没有 \(path)")
        }
        guard parts.count == 2, path.hasSuffix(".md") else { return nil }
        let anchor = parts[1].removingPercentEncoding ?? parts[1]
        if files.outline(path).anchors.contains(anchor) { return nil }
        return say(
            "the link \(target) leads nowhere: \(path) has no heading #\(anchor)",
            "链接 \(target) 无处可去：\(path) 没有标题 #\(anchor)")
    }

    private func resolve(_ target: String, in folder: String) -> String {
        var parts = target.hasPrefix("/") ? [] : folder.split(separator: "/").map(String.init)
        for part in target.split(separator: "/") {
            switch part {
            case ".": break
            case "..": parts = parts.dropLast()
            default: parts.append(String(part))
            }
        }
        return parts.joined(separator: "/")
    }

    /// `read` of a check is an anchor of its lesson, `read` of a mistake an anchor of some lesson.
    private func catalogueAnchors() -> [Defect] {
        var found: [Defect] = []
        for lesson in lessons {
            for check in lesson.checks {
                guard let (file, read) = check.field("read"), let target = read.string else { continue }
                found += deadAnchor(target, of: lesson, file: file.isEmpty ? lesson.file : file, line: read.line)
            }
            for cause in lesson.json["causes"]?.members ?? [] {
                guard let read = cause.value["read"], let target = read.string else { continue }
                found += deadAnchor(target, of: lesson, file: lesson.file, line: read.line)
            }
        }
        let general = try? LocatedJSON.parse(files.text(DescribedLesson.causesFile))
        for cause in general?.members ?? [] {
            guard let read = cause.value["read"], let target = read.string else { continue }
            found += deadAnchor(target, of: nil, file: DescribedLesson.causesFile, line: read.line)
        }
        return found
    }

    /// - Parameter target: `many-clients`, in `lesson`, or `04#many-clients`.
    private func deadAnchor(_ target: String, of lesson: DescribedLesson?, file: String, line: Int) -> [Defect] {
        let parts = target.split(separator: "#", maxSplits: 1).map(String.init)
        let owner = parts.count == 2 ? lessons.first { $0.number == parts[0] || $0.slug == parts[0] } : lesson
        guard let owner, let anchor = parts.last else {
            return [
                Defect(
                    "links", file, line: line,
                    say("\"read\": \"\(target)\" names no lesson", "\"read\": \"\(target)\" 没有指明是哪一课"),
                    do: say("write \"04#heading\"", "请写成 \"04#heading\""))
            ]
        }
        return ["README.md", "README.zh-Hans.md"].map { owner.folder + "/" + $0 }.filter { files.has($0) }
            .filter { !files.outline($0).anchors.contains(anchor) }.map { text in
                Defect(
                    "links", file, line: line,
                    say(
                        "\"read\": \"\(target)\" leads nowhere: \(text) has no heading #\(anchor)",
                        "\"read\": \"\(target)\" 无处可去：\(text) 没有标题 #\(anchor)"),
                    do: say("name a heading of that text", "请写那篇课文中的某个标题"))
            }
    }

    /// `Read: Lessons/04-tcp/README.md#many-clients` in a student's file.
    private func anchorsInCode() -> [Defect] {
        var found: [Defect] = []
        let code = ["Exercises", "Solutions", "Sources"].flatMap { files.under($0) }.filter { $0.hasSuffix(".swift") }
        for file in code where files.text(file).contains("Lessons/") {
            for (index, line) in files.lines(file).enumerated() {
                for match in line.matches(of: /Lessons\/\d\d-[a-z0-9-]+\/README(?:\.zh-Hans)?\.md(?:#[\w-]+)?/) {
                    guard let problem = problem(with: "/" + match.0, from: file) else { continue }
                    found.append(
                        Defect(
                            "links", file, line: index + 1, problem,
                            do: say("name a heading that is there", "请写一个存在的标题")))
                }
            }
        }
        return found
    }

    /// `README.zh-Hans.md` has the headings of `README.md`, under the same anchors.
    func twinTexts() -> [Defect] {
        texts.filter { $0.hasSuffix(".zh-Hans.md") }.flatMap { chinese -> [Defect] in
            let english = chinese.replacing(".zh-Hans.md", with: ".md")
            guard files.has(english) else {
                return [
                    Defect(
                        "translation", english, say("this text exists in Chinese only", "这篇文字只有中文"),
                        do: say("write it in English too", "请再写一份英文"))
                ]
            }
            return missingTwins(of: english, in: chinese)
        }
    }

    private func missingTwins(of english: String, in chinese: String) -> [Defect] {
        let (left, right) = (files.outline(english), files.outline(chinese))
        var found: [Defect] = []
        // The title, level 1, needs no anchor: nothing links to it.
        for heading in left.headings where heading.level > 1 {
            guard let twin = right.headings.first(where: { $0.names.contains(heading.name) }) else {
                found.append(
                    Defect(
                        "translation", chinese,
                        say(
                            "the heading \"\(heading.text)\" (\(english):\(heading.line)) has no twin here",
                            "这里没有与 \"\(heading.text)\"（\(english):\(heading.line)）对应的标题"),
                        do: say(
                            "put <a id=\"\(heading.name)\"></a> on the line before its translation",
                            "请在译文标题的前一行写上 <a id=\"\(heading.name)\"></a>")))
                continue
            }
            if twin.level != heading.level {
                found.append(
                    Defect(
                        "translation", chinese, line: twin.line,
                        say(
                            "\"\(twin.text)\" is a heading of level \(twin.level), its twin \(english):\(heading.line) of level \(heading.level)",
                            "“\(twin.text)”是 \(twin.level) 级标题，对应的 \(english):\(heading.line) 是 \(heading.level) 级"),
                        do: say("make the levels the same", "请使用相同的级别")))
            }
        }
        let names = Set(left.headings.map(\.name))
        for heading in right.headings where heading.level > 1 && names.isDisjoint(with: heading.names) {
            found.append(
                Defect(
                    "translation", chinese, line: heading.line,
                    say(
                        "the heading \"\(heading.text)\" has no twin in \(english)",
                        "标题“\(heading.text)”在 \(english) 中没有对应"),
                    do: say(
                        "put <a id=\"…\"></a> with the English heading's anchor on the line before it, or translate it",
                        "请在前一行写上带英文标题锚点的 <a id=\"…\"></a>，或者译成英文")))
        }
        return found
    }

    /// The section "What is graded" names every check by its id, and no other.
    func whatIsGraded() -> [Defect] {
        lessons.flatMap { lesson in
            ["README.md", "README.zh-Hans.md"].map { lesson.folder + "/" + $0 }.filter { files.has($0) }
                .flatMap { statements(of: lesson, in: $0) }
        }
    }

    private func statements(of lesson: DescribedLesson, in file: String) -> [Defect] {
        let outline = files.outline(file)
        guard let section = outline.section("what-is-graded") else {
            return [
                Defect(
                    "graded", file, say("there is no section \"What is graded\"", "没有“评分内容”一节（what-is-graded）"),
                    do: say(
                        "add a heading with the anchor what-is-graded, and every check by its id",
                        "请加上锚点为 what-is-graded 的标题，并按 id 列出每项检查"))
            ]
        }
        let lines = outline.lines[section.lines]
        let ids = Set(lesson.checks.map(\.id))
        let named = Set(lines.flatMap { $0.matches(of: /`([a-z0-9-]+)`/).map { String($0.1) } })
        var found: [Defect] = lesson.checks.filter { !named.contains($0.id) }.map { check in
            Defect(
                "graded", file, line: section.heading.line,
                say("this section does not name the check \(check.id)", "这一节没有写检查 \(check.id)"),
                do: say("state what exactly `\(check.id)` expects", "请写明 `\(check.id)` 具体要求什么"))
        }
        for (index, line) in zip(section.lines, lines) {
            guard let match = line.firstMatch(of: /^\|\s*`([a-z0-9-]+)`\s*\|/), !ids.contains(String(match.1)) else {
                continue
            }
            found.append(
                Defect(
                    "graded", file, line: index + 1,
                    say("no check is called \(match.1)", "没有叫 \(match.1) 的检查"),
                    do: say("remove this row, or write the check", "请删除这一行，或者写出这项检查")))
        }
        return found
    }

    /// Commands that a text or a comment tells a student to type: `lab check 03 request`, `lab run udp-echo`.
    func commands() -> [Defect] {
        var found: [Defect] = []
        let places =
            files.under("Lessons").filter { $0.hasSuffix(".md") || $0.hasSuffix(".json") } + files.under("Exercises")
        for file in places {
            for (index, line) in files.lines(file).enumerated() where mentionsLab(line) {
                for problem in problems(withCommandsIn: line) {
                    found.append(
                        Defect(
                            "commands", file, line: index + 1, problem,
                            do: say("write a command that works", "请写一条可用的命令")))
                }
            }
        }
        return found
    }

    /// A cheap look before the regular expressions.
    private func mentionsLab(_ line: Substring) -> Bool {
        let word = Array("lab ".utf8)
        let bytes = line.utf8
        guard var position = bytes.firstIndex(of: word[0]) else { return false }
        while true {
            if bytes[position...].starts(with: word) { return true }
            guard let next = bytes[bytes.index(after: position)...].firstIndex(of: word[0]) else { return false }
            position = next
        }
    }

    private func problems(withCommandsIn line: Substring) -> [String] {
        var problems: [String] = []
        let command = /\blab (?:check|watch|hint|trace|solution|diff|reset) (\d\d)(?: ([a-z][a-z0-9-]+))?/
        for match in line.matches(of: command) {
            guard let lesson = lessons.first(where: { $0.number == match.1 }) else {
                problems.append(say("`\(match.0)`: there is no lesson \(match.1)", "`\(match.0)`：没有第 \(match.1) 课"))
                continue
            }
            guard let name = match.2.map(String.init) else { continue }
            if !lesson.checks.contains(where: { $0.id == name }) && !lesson.exercises.contains(where: { $0.id == name })
            {
                problems.append(
                    say(
                        "`\(match.0)`: lesson \(match.1) has no check or exercise \(name)",
                        "`\(match.0)`：第 \(match.1) 课没有名为 \(name) 的检查或练习"))
            }
        }
        for match in line.matches(of: /\blab run ([a-z][a-z0-9-]+)/) where !demos.contains(String(match.1)) {
            problems.append(say("`\(match.0)`: there is no such demo", "`\(match.0)`：没有这个演示"))
        }
        return problems
    }
}
