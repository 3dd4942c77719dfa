// The files of a new lesson, with one exercise in it.

struct LessonTemplate {
    /// `17-my-topic`
    var slug: String
    var exercise: ExerciseTemplate

    init(slug: String, kind: ExerciseKind) {
        self.slug = slug
        let id = kind == .function ? "reverse-bytes" : "echo-server"
        exercise = ExerciseTemplate(slug: slug, id: id, kind: kind)
    }

    var number: String { String(slug.prefix(2)) }
    var topic: String { String(slug.dropFirst(3)) }
    var title: String { Slug.title(topic) }

    /// By path, relative to the package.
    var files: [(path: String, text: String)] {
        [
            ("Lessons/\(slug)/lesson.json", json),
            ("Lessons/\(slug)/README.md", text(false)),
            ("Lessons/\(slug)/README.zh-Hans.md", text(true)),
            ("Exercises/\(slug)/main.swift", main),
            ("Exercises/\(slug)/\(exercise.file)", exercise.stub),
            ("Solutions/\(slug)/Reference.swift", reference),
            ("Solutions/\(slug)/\(exercise.file)", exercise.solution),
            ("Sources/Course/Lesson\(number).swift", contract),
            ("Sources/Graders/Lesson\(number).swift", grader),
            ("Sources/Graders/Lesson\(number)+\(exercise.file)", exercise.checks),
            ("Tests/Graders/Lesson\(number).swift", tests),
        ]
    }

    private var contract: String {
        """
        /// Lesson \(number): \(title).
        public struct Lesson\(number): LessonContract {
            public static let slug = "\(slug)"

        \(exercise.property)
            public init(
        \(exercise.parameter)
            ) {
        \(exercise.assignment)    }

            public var entries: [Entry] {
                [
        \(exercise.entry.replacing(",\n", with: "\n"))        ]
            }
        }

        """
    }

    private var main: String {
        """
        // The plumbing between your functions and the lab: there is nothing to do in this file.
        import Course
        import LessonHost

        LessonHost.run(
            Lesson\(number)(
        \(exercise.argument)))

        """
    }

    private var reference: String {
        """
        import Course

        /// The reference implementation, which the graders are proved against and demos run.
        public var reference: Lesson\(number) {
            Lesson\(number)(
        \(exercise.argument))
        }

        """
    }

    private var grader: String {
        """
        // Grader of lesson \(number): \(title). Each exercise has its checks in a file of its own.
        import Course
        import GraderKit

        let lesson\(number) = LessonGrader(
            slug: Lesson\(number).slug,
            checks: \(exercise.checksName))

        """
    }

    private var tests: String {
        """
        final class Lesson\(number): LessonTestCase {
            override class var slug: String { "\(slug)" }

        \(exercise.testMethod)}

        """
    }

    private var json: String {
        """
        {
          "slug": "\(slug)",
          "title": { "en": "\(title)", "zh-Hans": "课题：\(topic)" },
          "summary": { "en": "One sentence on what this lesson teaches.", "zh-Hans": "用一句话说明本课教什么。" },
          "exercises": [
        \(exercise.json)
          ],
          "demos": []
        }

        """
    }

    private func text(_ isChinese: Bool) -> String {
        let commands = """
                lab check \(number)   # \(isChinese ? "评你写的代码" : "grade what you have")
                lab hint \(number) \(exercise.check)   # \(isChinese ? "要一条提示" : "one more hint for one check")
            """
        return isChinese
            ? """
            # \(number) 课题：\(topic)

            用两三句话说明本课讲什么，为什么重要。

            本课要写的程序都在 `Exercises/\(slug)/` 中：

            | 练习 | 做什么 | 文件 |
            |---|---|---|
            \(exercise.row(true))
            \(commands)

            \(exercise.section(true))
            <a id="what-is-graded"></a>
            ## 评分内容

            每项检查都会重新启动你的程序，通过本机回环套接字与它通信。

            \(exercise.statement(true))
            """
            : """
            # \(number) \(title)

            Two or three sentences: what this lesson is about, and why it matters.

            In this lesson you write, in `Exercises/\(slug)/`:

            | exercise | what it does | file |
            |---|---|---|
            \(exercise.row(false))
            \(commands)

            \(exercise.section(false))
            ## What is graded

            Each check starts your program anew and speaks to it over loopback sockets.

            \(exercise.statement(false))
            """
    }

    /// Its row in the README's table of lessons.
    func readmeRow(_ isChinese: Bool) -> String {
        isChinese
            ? "| [\(number)](Lessons/\(slug)/README.zh-Hans.md) | 课题：\(topic) |\n"
            : "| [\(number)](Lessons/\(slug)/README.md) | \(title) |\n"
    }
}
