import Course
import LabCore

extension Command {
    static let hint = Command(
        name: "hint",
        usage: ["LESSON [CHECK]"],
        summary: Text(en: "a hint; ask again for the next one", zh: "给一个提示；再问一次给下一个"),
        details: Text(
            en:
                "Each check has three hints: a question, a pointer, and nearly the answer. Every call shows one more. Without "
                + "a CHECK it is for the first check of the lesson that did not pass.",
            zh: "每项检查有三个提示：一个问题，一个方向，一个几乎就是答案。每次调用多给一个。不写 CHECK 时，针对本课第一项没有通过的检查。"),
        examples: [
            Example("lab hint 04 two-clients", "a hint for the check two-clients", "检查 two-clients 的提示"),
            Example("lab hint 04", "for the first check that did not pass", "第一项没有通过的检查"),
        ],
        words: 1...2
    ) { invocation in
        let (workspace, _, lesson) = try invocation.lesson()
        let progress = invocation.progress(workspace)
        let check = try check(invocation.words.dropFirst().first, lesson, progress)
        var shown = 1
        invocation.keep(workspace) { shown = $0.nextHint(check.id, of: lesson.slug, count: check.hints.count) }
        let text = HintText(lesson: lesson, check: check, width: invocation.console.width)
        invocation.console.print(text.lines(shown: shown))
        return .success
    }

    private static func check(
        _ word: String?, _ lesson: Catalogue.Lesson, _ progress: CourseProgress
    ) throws(CommandError) -> Catalogue.Check {
        if let word {
            if let exercise = lesson.exercises.first(where: { $0.id == word }) {
                return firstOpen(exercise.checks, lesson, progress) ?? exercise.checks[0]
            }
            return try lesson.find(check: word)
        }
        // What failed is what the student is working on; then what is not started.
        if let open = firstOpen(lesson.checks, lesson, progress) { return open }
        throw .usage(
            say(
                "Every check of lesson \(lesson.number) passed. Name one for its hints: lab hint \(lesson.number) CHECK",
                "第 \(lesson.number) 课的检查都通过了。想看某项的提示，请写出名字：lab hint \(lesson.number) CHECK"))
    }

    private static func firstOpen(
        _ checks: [Catalogue.Check], _ lesson: Catalogue.Lesson, _ progress: CourseProgress
    ) -> Catalogue.Check? {
        checks.first { progress.status($0.id, of: lesson) == .failed }
            ?? checks.first { !progress.settled($0.id, of: lesson) }
    }
}
