// `lab lint`: each thing that can go wrong is broken in a copy of the course, and found there, with its place.
import Course
import Foundation

import XCTest

@testable import GraderKit
@testable import LabCore

final class LintTests: XCTestCase {
    func testCourseThatIsRightHasNoFindings() throws { XCTAssertEqual(try TemporaryCourse.small().lint(), []) }

    // MARK: The catalogue

    func testTextsInOneLanguage() throws {
        let title = #""title": { "en": "Small", "zh-Hans": "课题：small" }"#
        try expect("translation", "\(json):3", "no Chinese version") {
            try $0.replace(title, by: #""title": { "en": "Small" }"#, in: json)
        }
        try expect("translation", "\(json):3", "no English version") {
            try $0.replace(title, by: #""title": { "en": " ", "zh-Hans": "课题：small" }"#, in: json)
        }
        try expect("translation", "\(json):3", "is the English one") {
            try $0.replace(title, by: #""title": { "en": "A small one", "zh-Hans": "A small one" }"#, in: json)
        }
        try expect("translation", "Lessons/causes.json:3", "no Chinese version") {
            try $0.replace(#", "zh-Hans": "被 SIGPIPE 结束""#, by: "", in: "Lessons/causes.json")
        }
    }

    func testCodeIsTheSameInBothLanguages() throws {
        let course = try TemporaryCourse.small()
        let code = "while sent < count { sent += 1 }"
        try change(course) { text in
            text.replacing(
                /"en": "recv [^"]*", "zh-Hans": "[^"]*"/, with: "\"en\": \"\(code)\", \"zh-Hans\": \"\(code)\"")
        }
        XCTAssertEqual(course.lint(), [])
    }

    func testHints() throws {
        try expect("hints", json, "has no hints") {
            try change($0) { $0.replacing(/,\n *"hints": \[[\s\S]*?\n {10}\]/, with: "") }
        }
        try expect("hints", "\(json):16", "2 hints") {
            try change($0) { $0.replacing(/\{ "en": "Which[^}]*\},\s*/, with: "") }
        }
        try expect("hints", "\(json):16", "the same") { course in
            try change(course) {
                $0.replacing(/"en": "recv [^"]*"/, with: "\"en\": \"Same.\"").replacing(
                    /"en": "In a [^"]*"/, with: "\"en\": \"Same.\"")
            }
        }
        try expect("hints", "Lessons/common.json:2", "no check uses the hints of \"eintr\"") { course in
            let text = #"{"title": {"en": "a", "zh-Hans": "甲"}, "read": "writing-echo-server", "hints": []}"#
            try course.write("{\n  \"eintr\": \(text)\n}", to: "Lessons/common.json")
        }
    }

    func testChecksThatShareTheirHints() throws {
        let course = try TemporaryCourse.small()
        let hints = #"[{"en": "a", "zh-Hans": "甲"}, {"en": "b", "zh-Hans": "乙"}, {"en": "c", "zh-Hans": "丙"}]"#
        try course.write(
            "{ \"eintr\": {\"title\": {\"en\": \"a\", \"zh-Hans\": \"甲\"}, \"read\": \"what-is-graded\", \"hints\": \(hints)} }",
            to: "Lessons/common.json")
        try change(course) {
            $0.replacing(/"points": 1,[\s\S]*?\n {10}\]/, with: "\"points\": 1, \"common\": \"eintr\"")
        }
        XCTAssertEqual(course.lint(), [])
        try course.replace("what-is-graded", by: "nothing", in: "Lessons/common.json")
        XCTAssertEqual(
            course.lint().map(\.place), ["Lessons/common.json:1", "Lessons/common.json:1"], "once a language")
    }

    func testFieldsOfChecks() throws {
        func broken(_ rule: String, _ problem: String, _ line: UInt = #line, _ edit: @escaping (String) -> String)
            throws
        {
            try expect(rule, json, problem, line: line) { try change($0, edit) }
        }
        try broken("checks", "no \"read\"") { $0.replacing(/"read": "[^"]*",/, with: "") }
        try broken("checks", "worth nothing") { $0.replacing("\"points\": 1", with: "\"points\": 0") }
        try broken("checks", "worth nothing") { $0.replacing("\"points\": 1,", with: "") }
        try broken("checks", "common.json has no \"nothing\"") {
            $0.replacing("\"points\": 1,", with: "\"points\": 1, \"common\": \"nothing\",")
        }
        try broken("checks", "has no check") { $0.replacing(/"checks": \[[\s\S]*?\n {6}\]/, with: "\"checks\": []") }
        try broken("ids", "\"Echo_Answers\" is not an id") { $0.replacing("echo-server-answers", with: "Echo_Answers") }
        try broken("json", "stands here twice") {
            $0.replacing("\"points\": 1,", with: "\"points\": 1, \"points\": 2,")
        }
        try broken("json", "not JSON") { $0.replacing("\"points\": 1,", with: "\"points\": 1;") }
        try broken("ids", "used twice") { text in
            let check = text.firstMatch(of: /\{\s*"id": "echo-server-answers"[\s\S]*?\n {8}\}/)!.0
            return text.replacing(check, with: check + "," + check)
        }
        try broken("catalogue", "summary") { $0.replacing("\"summary\"", with: "\"abstract\"") }
    }

    // MARK: Graders

    func testChecksAndGradersAreOneToOne() throws {
        let other = [LessonGrader(slug: "41-small", checks: [Check("brand-new") { _ in }])]
        try expect("checks", "Sources/Graders/Lesson41", "brand-new: \(json) does not describe it", graders: other)
        try expect("checks", "\(json):12", "echo-server-answers: no grader", graders: other)
        try expect("registration", "Sources/Graders/AllGraders.swift", "built before its grader", graders: [])
    }

    func testChecksAndTestMethodsAreOneToOne() throws {
        let tests = "Tests/Graders/Lesson41.swift"
        for (place, problem) in [
            (tests, "echo-server-answers: no XCTest method runs it"), ("\(tests):4", "no check is called brand-new"),
        ] {
            try expect("checks", place, problem) {
                try $0.replace("test_echo_server_answers", by: "test_brand_new", in: tests)
            }
        }
    }

    func testNamedMistakesAreExplained() throws {
        let grader = "Sources/Graders/Lesson41.swift"
        let uses = [
            "let sample = Cause(\n    \"brand-new\") { _ in nil }\n",
            "throw Failure(expected: e, got: g, cause: isIt ? \"brand-new\" : nil)\n",
            "failure.cause = \"brand-new\"\n",
        ]
        for use in uses {
            try expect("causes", grader, "\"brand-new\" is not explained") { course in
                try course.write(try course.text(grader) + use, to: grader)
            }
        }
        let suspect = Check("echo-server-answers", suspects: [Cause("brand-new") { _ in nil }]) { _ in }
        try expect(
            "causes", grader, "\"brand-new\" is not explained",
            graders: [LessonGrader(slug: "41-small", checks: [suspect])]
        ) { course in
            try course.write(try course.text(grader) + "let x = crash(as: \"brand-new\")\n", to: grader)
        }
        try expect("causes", "Lessons/causes.json:2", "no grader names the mistake \"sigpipe\"") { course in
            try course.write("", to: "Sources/GraderKit/Cause.swift")
            try course.write("let none = 0\n", to: "Sources/GraderKit/Cause.swift")
        }
        try expect("causes", "Lessons/causes.json:2", "\"sigpipe\" has no \"why\"") {
            try $0.replace("\"why\"", by: "\"because\"", in: "Lessons/causes.json")
        }
        try expect("causes", json, "\"sigpipe\" is explained in Lessons/causes.json:2 too") { course in
            let cause =
                #""causes": { "sigpipe": { "title": {"en": "a", "zh-Hans": "甲"}, "why": {"en": "b", "zh-Hans": "乙"} } }"#
            try course.replace("\"demos\"", by: cause + ",\n  \"demos\"", in: json)
        }
    }

    func testDemosExist() throws {
        try expect("demos", json, "no demo \"small-demo\"", demos: ["other-demo"])
        try expect(
            "demos", "Lessons", "no lesson mentions the demo \"other-demo\"", demos: ["other-demo", "small-demo"])
    }

    // MARK: Files

    func testLessonInOnePlaceOnly() throws {
        let files = [
            "Lessons/41-small/README.md", "Lessons/41-small/README.zh-Hans.md", "Lessons/41-small/lesson.json",
            "Exercises/41-small/main.swift", "Solutions/41-small/Reference.swift", "Sources/Course/Lesson41.swift",
            "Sources/Graders/Lesson41.swift", "Tests/Graders/Lesson41.swift",
        ]
        for file in files {
            try expect("registration", file, "41-small: this file is missing") { try $0.remove(file) }
        }
        let mentions = [
            ("Package.swift", "    \"41-small\",\n", "not in the list"),
            ("Sources/Graders/AllGraders.swift", "lesson41", "not in the list"),
            ("Sources/lab/References.swift", "Solution41.reference", "not in the list"),
            ("README.md", "(Lessons/41-small/README.md)", "no such row"),
            ("README.zh-Hans.md", "(Lessons/41-small/README.zh-Hans.md)", "no such row"),
        ]
        for (file, part, problem) in mentions {
            try expect("registration", file, problem) { try $0.replace(part, by: "", in: file) }
        }
        try expect("registration", "README.md", "no such row") {
            try $0.replace("| Small |", by: "| Tiny |", in: "README.md")
        }
        try expect("registration", "Package.swift", "two lessons have the number 41") {
            try $0.replace("    \"41-small\",\n", by: "    \"41-small\",\n    \"41-twin\",\n", in: "Package.swift")
        }
        try expect("registration", "Package.swift:2", "not in order") {
            try $0.replace("    \"41-small\",\n", by: "    \"42-small\",\n    \"41-small\",\n", in: "Package.swift")
        }
    }

    func testExerciseWithoutSolution() throws {
        for folder in ["Exercises", "Solutions"] {
            let file = "\(folder)/41-small/EchoServer.swift"
            try expect("twins", file, "41 echo-server: this file is missing") { try $0.remove(file) }
        }
    }

    func testStrayFiles() throws {
        let stray = [
            "Exercises/41-small/Extra.swift", "Exercises/41-small/notes.txt", "Solutions/41-small/Old.swift",
            "Lessons/41-small/picture.png", "Lessons/notes.md", "Exercises/README",
            "Sources/Graders/Lesson41.swift.orig",
            "Sources/Course/Lesson88.swift", "Tests/Graders/Lesson88.swift", "notes.txt", "docs/.#draft.md",
        ]
        for path in stray {
            try expect("stray", path, "nothing refers") { try $0.write("let unused88 = 1\n", to: path) }
        }
        let course = try TemporaryCourse.small()
        try course.write("", to: "Exercises/41-small/EchoServer.swift.mine-1")
        try course.write("", to: ".build/debug/x.swift")
        try course.write("func shared() {}", to: "Solutions/41-small/Shared.swift")
        try course.replace(
            "import Course", by: "import Course\nlet x = shared()", in: "Solutions/41-small/EchoServer.swift")
        try course.write("picture", to: "Lessons/41-small/picture.png")
        try course.replace(
            "# 41 Small", by: "# 41 Small\n\n![a picture](picture.png)", in: "Lessons/41-small/README.md")
        XCTAssertEqual(course.lint(), [], "kept copies, products, shared files and pictures are not stray")
    }

    // MARK: Texts

    func testLinksThatLeadNowhere() throws {
        try expect("links", "docs/sample.md:3", "there is no docs/nothing.md") {
            try $0.write("# Sample\n\n[text](nothing.md)\n", to: "docs/sample.md")
        }
        try expect("links", "docs/sample.md:1", "no heading #nothing") {
            try $0.write("[text](../Lessons/41-small/README.md#nothing)\n", to: "docs/sample.md")
        }
        try expect("links", "docs/sample.md:1", "no heading #nothing") {
            try $0.write("[text](#nothing)\n\n## Something\n", to: "docs/sample.md")
        }
        try expect("links", "\(json):15", "README.md has no heading #nothing") { course in
            try change(course) { $0.replacing("\"writing-echo-server\"", with: "\"nothing\"") }
        }
        try expect("links", "Exercises/41-small/EchoServer.swift:4", "no heading #writing-ehco-server") {
            try $0.replace("#writing-echo", by: "#writing-ehco", in: "Exercises/41-small/EchoServer.swift")
        }
        for (target, problem) in [("88#x", "names no lesson"), ("x", "names no lesson"), ("41#x", "no heading #x")] {
            try expect("links", "Lessons/causes.json:5", problem) {
                try $0.replace("41#writing-echo-server", by: target, in: "Lessons/causes.json")
            }
        }
        let course = try TemporaryCourse.small()
        try course.write(
            """
            # Good ones

            [a](https://example.org/x#y) [b](#good-ones) [c](../Lessons/41-small/README.md#what-is-graded) [d](../Lessons)
            `[not a link](nothing.md)` <a id="here"></a> [e](#here)

            ## Same
            ## Same

            [f](#same-1)

                [code](nothing.md)

            ```
            [code](nothing.md)
            ```

            """, to: "docs/good.md")
        XCTAssertEqual(course.lint(), [])
    }

    func testHeadingsHaveTwins() throws {
        let chinese = "Lessons/41-small/README.zh-Hans.md"
        let anchor = "<a id=\"writing-echo-server\"></a>\n"
        try expect("translation", chinese, "the heading \"Writing echo-server\"") {
            try $0.replace(anchor, by: "", in: chinese)
        }
        try expect("translation", "\(chinese):", "\"编写 echo-server\" has no twin") {
            try $0.replace(anchor, by: "", in: chinese)
        }
        try expect("translation", "\(chinese):", "of level 3") {
            try $0.replace("## 编写 echo-server", by: "### 编写 echo-server", in: chinese)
        }
        try expect("translation", "docs/sample.md", "in Chinese only") {
            try $0.write("# 只有中文\n", to: "docs/sample.zh-Hans.md")
        }
    }

    func testEverythingThatIsGradedIsStated() throws {
        for text in ["Lessons/41-small/README.md", "Lessons/41-small/README.zh-Hans.md"] {
            try expect("graded", "\(text):", "does not name the check echo-server-answers") {
                try $0.replace("| `echo-server-answers` |", by: "| the answer |", in: text)
            }
            try expect("graded", "\(text):", "no check is called echo-server-more") {
                try $0.replace(
                    "| `echo-server-answers` |", by: "| `echo-server-more` | x |\n| `echo-server-answers` |", in: text)
            }
            try expect("graded", text, "no section") {
                let heading = text.contains("zh") ? "<a id=\"what-is-graded\"></a>" : "## What is graded"
                try $0.replace(heading, by: "## Other", in: text)
            }
        }
    }

    func testCommandsInTextsWork() throws {
        let commands = [
            ("lab check 41 echo-servant", "no check or exercise echo-servant"), ("lab check 88", "no lesson 88"),
            ("lab hint 41 nothing", "no check or exercise nothing"), ("lab run no-such-thing", "no such demo"),
        ]
        for (command, problem) in commands {
            for file in ["Lessons/41-small/README.md", "Exercises/41-small/EchoServer.swift"] {
                try expect("commands", "\(file):", problem) { course in
                    try course.write(try course.text(file) + "// `\(command)`\n", to: file)
                }
            }
        }
    }

    // MARK: Stubs and solutions

    func testStubsMustNotGetAVerdictAndSolutionsMustPass() throws {
        let course = try TemporaryCourse.small()
        let lint = Lint(course.workspace, demos: [])
        let lesson = try XCTUnwrap(lint.lessons.first)
        func verdict(_ status: Verdict.Status) -> Verdict {
            Verdict(lesson: "41-small", check: "echo-server-answers", status: status, points: 1, seconds: 0, seed: 7)
        }
        for status in [Verdict.Status.passed, .failed, .labError] {
            let defect = try XCTUnwrap(lint.judgedStub(verdict(status), lesson), "\(status)")
            XCTAssertEqual(defect.rule, "stub")
            XCTAssertEqual(defect.file, "Exercises/41-small/EchoServer.swift")
        }
        for status in [Verdict.Status.notStarted, .skipped] { XCTAssertNil(lint.judgedStub(verdict(status), lesson)) }
        for status in [Verdict.Status.notStarted, .failed, .labError] {
            let defect = try XCTUnwrap(lint.judgedSolution(verdict(status), lesson), "\(status)")
            XCTAssertEqual(defect.rule, "solution")
            XCTAssertTrue(defect.remedy.contains("--seed 7"))
        }
        for status in [Verdict.Status.passed, .skipped] { XCTAssertNil(lint.judgedSolution(verdict(status), lesson)) }
    }

    // MARK: JSON

    func testLocatedJSONAgreesWithFoundation() throws {
        let texts = [
            #"{"a": [1, -2.5e3, true, null, "x\n\u00e9\ud83d\ude00\/"], "b": {}}"#, "[]", " \"s\" ", "3",
        ]
        for text in texts {
            let mine = try LocatedJSON.parse(text)
            let theirs = try JSONSerialization.jsonObject(with: Data(text.utf8), options: .fragmentsAllowed)
            XCTAssertEqual(plain(mine) as? NSObject, theirs as? NSObject, text)
        }
        for text in [
            "", "{", "[1,]", "{\"a\" 1}", "{\"a\": 1,}", "\"x", "[1] 2", "\"\\q\"", "nul", "{a: 1}", "\"a\nb\"",
        ] {
            XCTAssertThrowsError(try LocatedJSON.parse(text), text)
        }
        XCTAssertThrowsError(try LocatedJSON.parse("{\n\n  \"a\": ?\n}")) { error in
            XCTAssertEqual((error as? LocatedJSON.SyntaxError)?.line, 3)
        }
        XCTAssertEqual(try LocatedJSON.parse("{\n\"a\":\n\n 1}")["a"]?.line, 4)
    }

    private func plain(_ json: LocatedJSON) -> Any {
        switch json.content {
        case .object(let members):
            return Dictionary(uniqueKeysWithValues: members.map { ($0.key, plain($0.value)) }) as NSDictionary
        case .array(let elements): return elements.map(plain) as NSArray
        case .string(let text): return text as NSString
        case .other("true"): return NSNumber(value: true)
        case .other("false"): return NSNumber(value: false)
        case .other("null"): return NSNull()
        case .other(let number): return NSNumber(value: Double(number)!)
        }
    }

    // MARK: -

    private let json = "Lessons/41-small/lesson.json"

    /// Breaks a course that was right, and expects a finding.
    private func expect(
        _ rule: String, _ place: String, _ problem: String, graders: [LessonGrader]? = nil, demos: Set<String>? = nil,
        file: StaticString = #filePath, line: UInt = #line, breaking: (TemporaryCourse) throws -> Void = { _ in }
    ) throws {
        let course = try TemporaryCourse.small()
        try breaking(course)
        let found = course.lint(graders: graders, demos: demos)
        XCTAssertTrue(
            found.contains { $0.rule == rule && $0.place.hasPrefix(place) && $0.problem.contains(problem) },
            "expected \(rule) at \(place): \(problem)\nfound \(found.map { "\($0.rule) at \($0.place): \($0.problem)" })",
            file: file, line: line)
    }

    /// Changes the lesson.json.
    private func change(_ course: TemporaryCourse, _ edit: (String) -> String) throws {
        let text = try course.text(json)
        let changed = edit(text)
        XCTAssertNotEqual(text, changed, "nothing was changed")
        try course.write(changed, to: json)
    }
}
