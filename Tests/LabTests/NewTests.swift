// `lab new`: what it writes fits everywhere, what is wrong is refused before anything is written, and an interrupted run
// leaves nothing half made. That the skeleton builds and its solution passes is tried by .ci/run.
import Course
import Foundation
import XCTest

@testable import GraderKit
@testable import LabCore

final class NewTests: XCTestCase {
    // MARK: What it writes

    func testNewLessonAndExercisesFitEverywhere() throws {
        for kind in ExerciseKind.allCases {
            let course = try TemporaryCourse.small()
            try course.addLesson("97", "my-topic", kind)
            for (index, other) in ExerciseKind.allCases.enumerated() {
                try course.addExercise("97-my-topic", "exercise-\(index)", other)
                try course.addExercise("41-small", "exercise-\(index)", other)
            }
            XCTAssertEqual(course.lint(), [], "\(kind)")
            let lesson = try XCTUnwrap(Catalogue.load(root: course.root).lesson("97"))
            XCTAssertEqual(lesson.exercises.map(\.id).suffix(3), ["exercise-0", "exercise-1", "exercise-2"])
            XCTAssertEqual(lesson.checks.count, 4)
        }
    }

    func testLessonsStayInOrder() throws {
        let course = try TemporaryCourse.small()
        for (number, topic) in [("99", "last"), ("98", "before-it"), ("7", "first")] {
            try course.addLesson(number, topic)
        }
        let places = [
            ("Package.swift", "[\n    \"07-first\",\n    \"41-small\",\n    \"98-before-it\",\n    \"99-last\",\n]"),
            ("Sources/Graders/AllGraders.swift", "[\n    lesson07,\n    lesson41,\n    lesson98,\n    lesson99,\n]"),
            ("Sources/lab/References.swift", "        Solution98.reference,\n        Solution99.reference,\n    ]"),
            (
                "Sources/lab/References.swift",
                "import Course\nimport Solution07\nimport Solution41\nimport Solution98\n"
            ),
            ("README.md", "README.md) | Before it |\n| [99]"),
        ]
        for (file, part) in places { XCTAssertTrue(try course.text(file).contains(part), "\(file): \(part)") }
        XCTAssertEqual(course.lint(), [])
    }

    /// However an author has laid out a lesson's files, a new exercise finds its places in them.
    func testEveryLessonOfTheCourseTakesANewExercise() throws {
        let course = try TemporaryCourse.copy()
        let complete = course.graders.map(\.slug).filter { course.exists("Lessons/\($0)/README.zh-Hans.md") }
        let before = course.lint()
        var files: Set<String> = []
        for (index, slug) in complete.enumerated() {
            let kind = ExerciseKind.allCases[index % ExerciseKind.allCases.count]
            files.formUnion(try course.addExercise(slug, "brand-new-exercise", kind).changes.map(\.path))
        }
        // Findings that were not there before, whatever lines the others have moved to.
        func withoutLines(_ defect: Defect) -> [String] {
            [defect.rule, defect.file, defect.problem.replacing(/:\d+/, with: "")]
        }
        let old = Set(before.map(withoutLines))
        XCTAssertEqual(course.lint().filter { !old.contains(withoutLines($0)) }, [])
        // One main.swift is one program; all other files can be parsed together.
        let sources = files.filter { $0.hasSuffix(".swift") }.sorted().map { course.url($0).path }
        let programs = sources.filter { $0.hasSuffix("/main.swift") }
        for group in [sources.filter { !programs.contains($0) }] + programs.map({ [$0] }) {
            let result = try Subprocess.run("swiftc", ["-frontend", "-parse"] + group, mergesErrors: true)
            XCTAssertEqual(result.status, 0, result.output)
        }
    }

    func testWhatIsGradedNeedNotComeLast() throws {
        let course = try TemporaryCourse.small()
        for (file, heading) in [("README.md", "## Going on"), ("README.zh-Hans.md", "<a id=\"going-on\"></a>\n## 接下来")]
        {
            let path = "Lessons/41-small/\(file)"
            try course.write(try course.text(path) + "\n\(heading)\n\nMore.\n", to: path)
        }
        try course.addExercise("41-small", "other")
        XCTAssertEqual(course.lint(), [])
    }

    func testEverythingElseStaysAsItIs() throws {
        let course = try TemporaryCourse.small()
        let before = try course.snapshot()
        let changes = try course.addLesson("97", "my-topic", .udp)
        let after = try course.snapshot()
        XCTAssertEqual(Set(after.keys).subtracting(before.keys), Set(changes.created))
        XCTAssertEqual(Set(before.keys.filter { before[$0] != after[$0] }), Set(changes.edited))
        for file in changes.edited {
            let added = try XCTUnwrap(after[file]).split(separator: "\n").filter { $0.contains("97") }
            XCTAssertEqual(added.count, file.hasSuffix("References.swift") ? 2 : 1, file)
        }
    }

    // MARK: What is wrong

    func testWrongLessonsAreRefused() throws {
        let course = try TemporaryCourse.small()
        let before = try course.snapshot()
        let wrong: [(number: String, topic: String, word: String)] = [
            ("41", "my-topic", "41-small"), ("0", "my-topic", "0 is not"), ("00", "x", "00 is not"),
            ("100", "my-topic", "100"), ("-1", "my-topic", "-1"), ("x", "my-topic", "x is not"),
            ("", "my-topic", "is not"),
            ("１７", "my-topic", "１７"), ("1.5", "my-topic", "1.5"), ("041", "my-topic", "041"),
            ("97", "small", "41-small"), ("97", "My-topic", "My-topic"), ("97", "my_topic", "my_topic"),
            ("97", "my-topic-", "my-topic-"), ("97", "-x", "-x"), ("97", "my--topic", "my--topic"),
            ("97", "1st", "1st"), ("97", "97-my-topic", "97-my-topic"), ("97", "课题", "课题"), ("97", "a/b", "a/b"),
            ("97", "..", ".."), ("97", "", "is not"), ("97", String(repeating: "a", count: 41), "aaaa"),
        ]
        for (number, topic, word) in wrong {
            XCTAssertThrowsError(
                try Scaffold(course.workspace).lesson(number: number, topic: topic, kind: .tcp), "\(number) \(topic)"
            ) { error in
                XCTAssertEqual((error as? CommandError)?.exit, .usage, "\(error)")
                XCTAssertTrue("\(error)".contains(word), "\(error)")
                XCTAssertFalse("\(error)".contains("\n"), "\(error)")
            }
        }
        XCTAssertEqual(try course.snapshot(), before)
    }

    func testTakenNamesOfExercisesAreRefused() throws {
        let course = try TemporaryCourse.small()
        try course.write("func helper() {}\n", to: "Solutions/41-small/Helper.swift")
        let wrong: [(id: String, word: String)] = [
            ("echo-server", "echo-server"), ("echo", "C library"), ("close", "C library"), ("main", "main"),
            ("reference", "reference"), ("class", "Swift"), ("helper", "Solutions/41-small/Helper.swift:1"),
            ("Server", "Server"), ("", "is not"),
        ]
        for (id, word) in wrong where id != "echo" {
            XCTAssertThrowsError(
                try Scaffold(course.workspace).exercise(lesson: "41-small", id: id, kind: .udp), id
            ) { error in
                XCTAssertEqual((error as? CommandError)?.exit, .usage, "\(error)")
                XCTAssertTrue("\(error)".contains(word), "\(id): \(error)")
            }
        }
    }

    func testNothingIsOverwritten() throws {
        let course = try TemporaryCourse.small()
        let (_, _, changes) = try Scaffold(course.workspace).lesson(number: "97", topic: "my-topic", kind: .tcp)
        for path in changes.created {
            try course.write("mine", to: path)
            let before = try course.snapshot()
            XCTAssertThrowsError(try FileTransaction(course.workspace).commit(changes)) { error in
                XCTAssertEqual((error as? CommandError)?.exit, .usage)
                XCTAssertTrue("\(error)".contains(path), "\(error)")
            }
            XCTAssertEqual(try course.snapshot(), before)
            try course.remove(path)
        }
    }

    func testFileThatSomebodyElseChangedMeanwhileStays() throws {
        let course = try TemporaryCourse.small()
        let (_, _, changes) = try Scaffold(course.workspace).lesson(number: "97", topic: "my-topic", kind: .tcp)
        try course.replace("let lessons", by: "// changed\nlet lessons", in: "Package.swift")
        let before = try course.snapshot()
        XCTAssertThrowsError(try FileTransaction(course.workspace).commit(changes))
        XCTAssertEqual(try course.snapshot(), before)
    }

    func testUnknownShapeOfAFileIsSaidAndNothingIsWritten() throws {
        let shapes = [
            ("Package.swift", "let lessons = ["), ("Sources/Graders/AllGraders.swift", "allGraders"),
            ("Sources/lab/References.swift", "var references"), ("README.md", "| [41]"),
        ]
        for (path, part) in shapes {
            let course = try TemporaryCourse.small()
            try course.replace(part, by: "something else", in: path)
            XCTAssertThrowsError(
                try Scaffold(course.workspace).lesson(number: "97", topic: "my-topic", kind: .tcp), path
            ) { error in XCTAssertTrue("\(error)".contains(path), "\(error)") }
        }
        let exerciseShapes = [
            ("Sources/Course/Lesson41.swift", "public init("), ("Sources/Graders/Lesson41.swift", "let lesson41"),
            ("Exercises/41-small/main.swift", "Lesson41("), ("Solutions/41-small/Reference.swift", "Lesson41("),
            ("Tests/Graders/Lesson41.swift", "class Lesson41"), ("Lessons/41-small/lesson.json", "\"exercises\""),
            ("Lessons/41-small/README.md", "## What is graded"),
        ]
        for (path, part) in exerciseShapes {
            let course = try TemporaryCourse.small()
            while try course.text(path).contains(part) { try course.replace(part, by: "something else", in: path) }
            XCTAssertThrowsError(
                try Scaffold(course.workspace).exercise(lesson: "41-small", id: "other", kind: .tcp), path
            ) { error in XCTAssertTrue("\(error)".contains(path), "\(error)") }
        }
    }

    // MARK: Interruptions

    func testWhateverAnInterruptedRunHadBegunIsFinishedOrForgotten() throws {
        let course = try TemporaryCourse.small()
        let (_, _, changes) = try Scaffold(course.workspace).lesson(number: "97", topic: "my-topic", kind: .tcp)
        let before = try course.snapshot()
        // Stopped before the journal was complete: as if nothing had been.
        try course.write(changes.changes[0].after, to: ".lab/new/0")
        XCTAssertEqual(try FileTransaction(course.workspace).finish(), [])
        XCTAssertEqual(try course.snapshot(), before)
        XCTAssertFalse(course.exists(".lab/new"))
        // Stopped after some of the files were moved: the rest follows.
        for moved in 0...changes.changes.count {
            let course = try TemporaryCourse.small()
            for (index, change) in changes.changes.enumerated() {
                try course.write(change.after, to: index < moved ? change.path : ".lab/new/\(index)")
            }
            let journal = String(decoding: try JSONEncoder().encode(changes), as: UTF8.self)
            try course.write(journal, to: ".lab/new/journal.json")
            XCTAssertEqual(try FileTransaction(course.workspace).finish().count, changes.changes.count)
            for change in changes.changes {
                XCTAssertEqual(try course.text(change.path), change.after, "stopped after \(moved)")
            }
            XCTAssertFalse(course.exists(".lab/new"))
        }
    }

    func testDamagedJournalIsSaid() throws {
        for isReadable in [true, false] {
            let course = try TemporaryCourse.small()
            let (_, _, changes) = try Scaffold(course.workspace).lesson(number: "97", topic: "my-topic", kind: .tcp)
            let journal = String(decoding: try JSONEncoder().encode(changes), as: UTF8.self)
            try course.write(isReadable ? journal : "{", to: ".lab/new/journal.json")
            let before = try course.snapshot()
            XCTAssertThrowsError(try FileTransaction(course.workspace).finish()) { error in
                XCTAssertTrue("\(error)".contains(".lab/new"), "\(error)")
            }
            XCTAssertEqual(try course.snapshot(), before)
        }
    }

    func testOneAtATime() throws {
        let course = try TemporaryCourse.small()
        let (_, _, changes) = try Scaffold(course.workspace).lesson(number: "97", topic: "my-topic", kind: .tcp)
        let first = try FileTransaction(course.workspace).lock()
        XCTAssertThrowsError(try FileTransaction(course.workspace).commit(changes)) { error in
            XCTAssertTrue("\(error)".contains("lab new"), "\(error)")
        }
        close(first)
        XCTAssertNoThrow(try FileTransaction(course.workspace).commit(changes))
    }

    // MARK: Editing

    func testClosingBracketsAreFoundPastStringsAndComments() throws {
        let text = #"f(a, ")", "\(b("]"))", /* ) */ { [1] }, // )"# + "\n  \"\"\"\n  ) \" \n\"\"\")!"
        let edit = SourceEdit(text)
        let end = try XCTUnwrap(edit.closing(after: 2))
        XCTAssertEqual(String(decoding: edit.original[end...], as: UTF8.self), ")!")
        XCTAssertNil(SourceEdit("(()").closing(after: 1))
    }

    func testInsertionsAndAReplacementAreMadeTogether() {
        var edit = SourceEdit("0123456789")
        edit.insert("a", at: 2)
        edit.insert("b", at: 2)
        edit.insert("z", at: 10)
        XCTAssertEqual(edit.text, "01ab23456789z")
        XCTAssertEqual(edit.text(replacing: 5..<7, by: "-"), "01ab234-789z")
        XCTAssertEqual(edit.text(replacing: 0..<0, by: "-"), "-01ab23456789z")
    }
}
