// Rules on lesson.json, common.json and causes.json alone: every text in both languages, every check with its hints.
import Course

extension Lint {
    /// Every text stands in both languages, and the Chinese one is Chinese.
    func translations() -> [Defect] {
        var found: [Defect] = []
        for file in files.under("Lessons").filter({ $0.hasSuffix(".json") }) {
            guard let json = try? LocatedJSON.parse(files.text(file)) else { continue }
            json.visit { node in
                found += repeatedKeys(of: node, in: file)
                guard node["en"] != nil || node["zh-Hans"] != nil else { return }
                for (key, name) in [("en", say("English", "英文")), ("zh-Hans", say("Chinese", "中文"))]
                where (node[key]?.string ?? "").trimmingCharacters(in: .whitespaces).isEmpty {
                    found.append(
                        Defect(
                            "translation", file, line: node[key]?.line ?? node.line,
                            say("a text has no \(name) version", "这段文字没有\(name)"),
                            do: say("add \"\(key)\" beside its twin", "请在旁边加上 \"\(key)\"")))
                }
                if let english = node["en"]?.string, let chinese = node["zh-Hans"]?.string, english == chinese,
                    english.split(separator: " ").count > 2, !isCode(english)
                {
                    found.append(
                        Defect(
                            "translation", file, line: node["zh-Hans"]?.line,
                            say("the Chinese text is the English one", "中文与英文完全相同"),
                            do: say("translate it", "请翻译")))
                }
            }
        }
        return found
    }

    /// A line of code is the same in every language.
    private func isCode(_ text: String) -> Bool { ["{", "}", "$0", ";", " = ", "=="].contains { text.contains($0) } }

    /// A name that stands twice in one object: the last one silently wins.
    private func repeatedKeys(of node: LocatedJSON, in file: String) -> [Defect] {
        var seen: Set<String> = []
        return node.members.filter { !seen.insert($0.key).inserted }.map { member in
            Defect(
                "json", file, line: member.line,
                say("\"\(member.key)\" stands here twice", "\"\(member.key)\" 在这里出现了两次"),
                do: say("keep one of them", "请只留一个"))
        }
    }

    /// Ids that can be typed, points, and a ladder of three hints for each check.
    func checksAndHints() -> [Defect] {
        lessons.flatMap { lesson -> [Defect] in
            var found: [Defect] = []
            func add(_ rule: String, _ line: Int, _ problem: String, _ remedy: String) {
                found.append(Defect(rule, lesson.file, line: line, problem, do: remedy))
            }
            var exerciseIDs: Set<String> = []
            for exercise in lesson.exercises {
                if !Slug.isValid(exercise.id) { badID(exercise.id, exercise.line, add) }
                if !exerciseIDs.insert(exercise.id).inserted { repeated(exercise.id, exercise.line, add) }
                if exercise.checks.isEmpty {
                    add(
                        "checks", exercise.line,
                        say("exercise \"\(exercise.id)\" has no check", "练习 \"\(exercise.id)\" 没有检查"),
                        say("describe at least one under \"checks\"", "请在 \"checks\" 中至少写一项"))
                }
            }
            var ids: Set<String> = []
            for check in lesson.checks {
                if !Slug.isValid(check.id) { badID(check.id, check.line, add) }
                if !ids.insert(check.id).inserted { repeated(check.id, check.line, add) }
                found += fields(of: check, in: lesson)
            }
            return found
        } + unusedCommonChecks()
    }

    private func badID(_ id: String, _ line: Int, _ add: (String, Int, String, String) -> Void) {
        add(
            "ids", line, say("\"\(id)\" is not an id", "\"\(id)\" 不能作为 id"),
            say("use lower-case letters, digits and single dashes", "请只用小写字母、数字和单个短横线"))
    }

    private func repeated(_ id: String, _ line: Int, _ add: (String, Int, String, String) -> Void) {
        add(
            "ids", line, say("\"\(id)\" is used twice in this lesson", "\"\(id)\" 在本课出现了两次"),
            say("give one of them another name", "请给其中一个改名"))
    }

    private func fields(of check: DescribedLesson.Check, in lesson: DescribedLesson) -> [Defect] {
        var found: [Defect] = []
        func add(_ rule: String, _ problem: String, _ remedy: String, file: String = "", line: Int? = nil) {
            found.append(
                Defect(
                    rule, file.isEmpty ? lesson.file : file, line: line ?? check.line, "\(check.id): " + problem,
                    do: remedy))
        }
        if let name = check.json["common"]?.string, check.common == nil {
            add(
                "checks", say("common.json has no \"\(name)\"", "common.json 中没有 \"\(name)\""),
                say("add it there, or describe the check here", "请在那里添加，或在这里写出这项检查"))
            return found
        }
        for name in ["title", "read"] where check.field(name) == nil {
            add(
                "checks", say("it has no \"\(name)\"", "缺少 \"\(name)\""), say("add it", "请补上"))
        }
        if case .other(let number)? = check.json["points"]?.content, let points = Int(number), points > 0 {
        } else {
            add(
                "checks", say("it is worth nothing", "没有分值"),
                say("set \"points\" to a whole number above 0", "请把 \"points\" 设为大于 0 的整数"))
        }
        guard let hints = check.field("hints") else {
            add(
                "hints", say("it has no hints", "没有提示"),
                say("add three: a question, a pointer, nearly the answer", "请写三条：一个问题、一个方向、几乎是答案"))
            return found
        }
        let texts = hints.json.elements.map { $0["en"]?.string ?? "" }
        if texts.count != 3 {
            add(
                "hints", say("it has \(texts.count) hints, not 3", "有 \(texts.count) 条提示，应该是 3 条"),
                say("write a question, a pointer, and nearly the answer", "请写一个问题、一个方向、几乎是答案"),
                file: hints.file, line: hints.json.line)
        } else if Set(texts).count != 3 {
            add(
                "hints", say("two of its hints are the same", "有两条提示相同"),
                say("let each say more than the one before", "请让每条都比前一条多说一些"),
                file: hints.file, line: hints.json.line)
        }
        for hint in hints.json.elements where !hint.isObject {
            add(
                "hints", say("a hint is not a text in two languages", "有一条提示不是双语文字"),
                say("write {\"en\": …, \"zh-Hans\": …}", "请写成 {\"en\": …, \"zh-Hans\": …}"), file: hints.file,
                line: hint.line)
        }
        return found
    }

    /// Hints and a title in common.json that no check uses.
    private func unusedCommonChecks() -> [Defect] {
        guard let common = try? LocatedJSON.parse(files.text(DescribedLesson.commonFile)) else { return [] }
        let used = Set(lessons.flatMap { $0.checks.compactMap { $0.json["common"]?.string } })
        return common.members.filter { !used.contains($0.key) }.map { member in
            Defect(
                "hints", DescribedLesson.commonFile, line: member.line,
                say("no check uses the hints of \"\(member.key)\"", "没有检查用到 \"\(member.key)\" 的提示"),
                do: say("name it in a check's \"common\", or remove it", "请在某项检查的 \"common\" 中引用它，或者删除"))
        }
    }
}
