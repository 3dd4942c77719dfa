// What a person calls a lesson, an exercise or a check: found, or answered with what is there.
import Course

extension Catalogue {
    /// `04`, `4`, `04-tcp`, `tcp` and `Lesson04` are the same lesson.
    public func find(lesson name: String) throws(CommandError) -> Lesson {
        if let lesson = named(name) { return lesson }
        let names = lessons.flatMap { [$0.slug, $0.number, String($0.slug.dropFirst(3))] }
        let near = nearest(to: name, among: names).flatMap { named($0) }
        throw .usage(
            say("There is no lesson \(name).", "没有第 \(name) 课。")
                + (near.map { say(" Did you mean \($0.slug)?", "是不是想用 \($0.slug)？") }
                    ?? say(" `lab list` shows all.", "`lab list` 列出所有课程。")))
    }

    private func named(_ name: String) -> Lesson? {
        let lower = name.lowercased()
        if let found = lesson(lower.hasPrefix("lesson") ? String(lower.dropFirst(6)) : lower) { return found }
        return lessons.first { $0.slug.dropFirst(3) == lower }
    }

    /// The lessons, exercises and checks that the words of a command name: `04`, `04 two-clients`, `two-clients`,
    /// `04 uppercase-server sendAll.swift`. No words: everything.
    public func select(_ words: [String]) throws(CommandError) -> [Selection] {
        guard let first = words.first else { return lessons.map { Selection(lesson: $0, checks: $0.checks) } }
        if let lesson = named(first) {
            return [try lesson.select(Array(words.dropFirst()))]
        }
        // Not a lesson: perhaps the name of a check or an exercise, which is enough if only one lesson has it.
        let owners = lessons.filter { $0.checks(named: first) != nil }
        if owners.count == 1, let lesson = owners.first { return [try lesson.select(words)] }
        if owners.count > 1 {
            let list = owners.map(\.number).joined(separator: ", ")
            throw .usage(
                say(
                    "\(first) is in lessons \(list): say which, `lab check \(owners[0].number) \(first)`.",
                    "第 \(list) 课都有 \(first)：请说明是哪一课，例如 `lab check \(owners[0].number) \(first)`。"))
        }
        throw unknown(first)
    }

    private func unknown(_ word: String) -> CommandError {
        let names = lessons.flatMap { lesson in
            [lesson.slug, lesson.topic] + lesson.exercises.map(\.id) + lesson.checks.map(\.id)
        }
        return .usage(
            say(
                "There is no lesson, exercise or check \(word).", "没有叫 \(word) 的课、练习或检查。")
                + (nearest(to: word, among: names).map { say(" Did you mean \($0)?", "是不是想用 \($0)？") }
                    ?? say(" `lab list` shows all lessons.", "`lab list` 列出所有课程。")))
    }
}

extension Catalogue {
    /// Where something is taught, as the catalogue writes it: a heading's anchor in the lesson itself, `many-clients`, or
    /// in another one, `04#many-clients`.
    public func place(_ read: String, in lesson: Lesson) -> (lesson: Lesson, anchor: String) {
        let parts = read.split(separator: "#", maxSplits: 1).map(String.init)
        guard parts.count == 2 else { return (lesson, read) }
        return (self.lesson(parts[0]) ?? lesson, parts[1])
    }
}

extension Catalogue.Lesson {
    /// `TCP`, without its number.
    public var topic: String { String(slug.dropFirst(3)) }

    /// The checks of the named exercises, and the named checks, in the lesson's order. No words: all.
    public func select(_ words: [String]) throws(CommandError) -> Selection {
        guard !words.isEmpty else { return Selection(lesson: self, checks: checks) }
        var chosen: Set<String> = []
        for word in words {
            guard let found = checks(named: word) else { throw noCheck(word) }
            chosen.formUnion(found.map(\.id))
        }
        return Selection(lesson: self, checks: checks.filter { chosen.contains($0.id) })
    }

    /// The checks of an exercise (by its id or its file), or the one check of that name.
    func checks(named word: String) -> [Catalogue.Check]? {
        if let exercise = exercise(named: word) { return exercise.checks }
        return checks.first { $0.id == word }.map { [$0] }
    }

    private func exercise(named word: String) -> Catalogue.Exercise? {
        let file = word.split(separator: "/").last.map(String.init) ?? word
        return exercises.first { $0.id == word || $0.file == file }
    }

    /// The exercise of that name, or the one that the named check belongs to.
    public func find(exercise word: String) throws(CommandError) -> Catalogue.Exercise {
        if let found = exercise(named: word) ?? exercise(of: word) { return found }
        let names = exercises.map(\.id)
        throw .usage(
            say("Lesson \(number) has no exercise \(word).", "第 \(number) 课没有练习 \(word)。")
                + (nearest(to: word, among: names).map { say(" Did you mean \($0)?", "是不是想用 \($0)？") }
                    ?? say(" It has: ", "本课有：") + names.joined(separator: ", ")))
    }

    public func find(check word: String) throws(CommandError) -> Catalogue.Check {
        if let found = checks.first(where: { $0.id == word }) { return found }
        throw noCheck(word)
    }

    private func noCheck(_ word: String) -> CommandError {
        let names = exercises.map(\.id) + checks.map(\.id)
        return .usage(
            say("Lesson \(number) has no check or exercise \(word).", "第 \(number) 课没有名为 \(word) 的检查或练习。")
                + (nearest(to: word, among: names).map { say(" Did you mean \($0)?", "是不是想用 \($0)？") }
                    ?? say(" `lab list \(number)` shows them.", "`lab list \(number)` 列出它们。")))
    }
}
