// Rules on what the catalogue says and what code does: checks, the XCTest methods that list them, named mistakes,
// demos.
import Course
import GraderKit

extension Lint {
    /// Every described check has a grader and an XCTest method, and the other way round.
    func gradersAndTests() -> [Defect] {
        lessons.flatMap { lesson -> [Defect] in
            guard let graded = grader(of: lesson.slug)?.checks.map(\.id) else { return [] }  // `registration` says so
            let described = lesson.checks.map(\.id)
            let testFile = "Tests/Graders/Lesson\(lesson.number).swift"
            let tests = testMethods(of: "Lesson" + lesson.number)
            var found: [Defect] = []
            for check in lesson.checks where !check.id.isEmpty {
                if !graded.contains(check.id) {
                    found.append(
                        Defect(
                            "checks", lesson.file, line: check.line,
                            say("\(check.id): no grader checks it", "\(check.id)：没有评测代码"),
                            do: say(
                                "add Check(\"\(check.id)\") to Sources/Graders/Lesson\(lesson.number).swift and build, or remove it here",
                                "请在 Sources/Graders/Lesson\(lesson.number).swift 中加上 Check(\"\(check.id)\") 并构建，或从这里删除")
                        ))
                }
                if files.has(testFile), !tests.contains(where: { $0.check == check.id }) {
                    found.append(
                        Defect(
                            "checks", testFile,
                            say("\(check.id): no XCTest method runs it", "\(check.id)：没有对应的 XCTest 方法"),
                            do: say(
                                "add `\(testMethod(check.id))`", "请加上 `\(testMethod(check.id))`")))
                }
            }
            for id in graded where !described.contains(id) {
                let place = graderPlace(of: id, in: lesson)
                found.append(
                    Defect(
                        "checks", place.file, line: place.line,
                        say("\(id): \(lesson.file) does not describe it", "\(id)：\(lesson.file) 没有描述它"),
                        do: say(
                            "describe it there, with hints, or remove the check", "请在那里写出它和它的提示，或者删除这项检查")))
            }
            for test in tests where !graded.contains(test.check) {
                found.append(
                    Defect(
                        "checks", test.file, line: test.line,
                        say("no check is called \(test.check)", "没有叫 \(test.check) 的检查"),
                        do: say(
                            "rename the method after a check, or remove it", "请把方法改成某项检查的名字，或者删除")))
            }
            return found
        }
    }

    func grader(of slug: String) -> LessonGrader? { graders.first { $0.slug == slug } }

    private func testMethod(_ check: String) -> String {
        "func test_\(check.replacing("-", with: "_"))() throws { try grade() }"
    }

    /// Methods of the XCTest class of that name: in its declaration, or in an extension.
    private func testMethods(of name: String) -> [(check: String, file: String, line: Int)] {
        var found: [(check: String, file: String, line: Int)] = []
        for file in files.under("Tests/Graders") where file.hasSuffix(".swift") {
            var isInside = false
            for (index, line) in files.lines(file).enumerated() {
                if let match = line.firstMatch(of: /^(?:final )?(?:class|extension) (\w+)/) {
                    isInside = match.1 == name
                }
                if isInside, let match = line.firstMatch(of: /^\s*func test_(\w+)\(\)/) {
                    found.append((String(match.1).replacing("_", with: "-"), file, index + 1))
                }
            }
        }
        return found
    }

    /// Where the code of a check is: the literal that names it, or the lesson's grader if the id is put together.
    private func graderPlace(of id: String, in lesson: DescribedLesson) -> (file: String, line: Int?) {
        let own = graderFiles.filter { $0.contains("Lesson\(lesson.number)") }
        for file in own + graderFiles {
            if let line = files.line(of: "\"\(id)\"", in: file) { return (file, line) }
        }
        return (own.first ?? "Sources/Graders", nil)
    }

    var graderFiles: [String] { files.under("Sources/Graders").filter { $0.hasSuffix(".swift") } }

    /// Every mistake that a grader may name is explained, and every explained one can be named.
    func namedCauses() -> [Defect] {
        var found: [Defect] = []
        var described: [String: (file: String, line: Int)] = [:]
        for (file, object) in causeObjects() {
            for cause in object.members {
                if let first = described[cause.key] {
                    found.append(
                        Defect(
                            "causes", file, line: cause.line,
                            say(
                                "the mistake \"\(cause.key)\" is explained in \(first.file):\(first.line) too",
                                "错误 \"\(cause.key)\" 在 \(first.file):\(first.line) 也有说明"),
                            do: say("keep one explanation, or rename one mistake", "请只保留一份说明，或者给其中一个改名")))
                }
                described[cause.key] = (file, cause.line)
                for field in ["title", "why"] where cause.value[field] == nil {
                    found.append(
                        Defect(
                            "causes", file, line: cause.line,
                            say(
                                "the mistake \"\(cause.key)\" has no \"\(field)\"",
                                "错误 \"\(cause.key)\" 缺少 \"\(field)\""),
                            do: say("add it", "请补上")))
                }
            }
        }
        // What checks suspect is known even where the id is put together.
        let suspects = Set(graders.flatMap(\.checks).flatMap(\.suspects).map(\.id))
        let sources = files.under("Sources/Graders") + files.under("Sources/GraderKit")
        var literals: Set<Substring> = []
        for file in sources where file.hasSuffix(".swift") {
            let text = files.text(file)
            for literal in text.matches(of: /"([a-z0-9-]+)"/) { literals.insert(literal.1) }
            var named = text.matches(of: /Cause\(\s*"([a-z0-9-]+)"/).map { $0.1 }
            for use in text.matches(of: /cause\s*[:=]([^,\n)]*)/) {
                named += use.1.matches(of: /"([a-z0-9-]+)"/).map { $0.1 }
            }
            named += suspects.filter { text.contains("\"\($0)\"") && described[$0] == nil }.compactMap { id in
                text.firstRange(of: "\"\(id)\"").map {
                    text[text.index(after: $0.lowerBound)..<$0.upperBound].dropLast()
                }
            }
            for id in Set(named).sorted() where described[String(id)] == nil {
                found.append(
                    Defect(
                        "causes", file, line: text[..<id.startIndex].count { $0 == "\n" } + 1,
                        say("the mistake \"\(id)\" is not explained anywhere", "错误 \"\(id)\" 没有任何说明"),
                        do: say(
                            "explain it in Lessons/causes.json or in the lesson.json's \"causes\"",
                            "请在 Lessons/causes.json 或该课 lesson.json 的 \"causes\" 中说明")))
            }
        }
        for (id, place) in described where !literals.contains(id[...]) {
            found.append(
                Defect(
                    "causes", place.file, line: place.line,
                    say("no grader names the mistake \"\(id)\"", "没有评测代码会指出错误 \"\(id)\""),
                    do: say("recognise it with Cause(\"\(id)\"), or remove it", "请用 Cause(\"\(id)\") 识别它，或者删除")))
        }
        return found
    }

    /// Explanations of mistakes: those of causes.json, and each lesson's own.
    func causeObjects() -> [(file: String, object: LocatedJSON)] {
        let general = try? LocatedJSON.parse(files.text(DescribedLesson.causesFile))
        return (general.map { [(DescribedLesson.causesFile, $0)] } ?? [])
            + lessons.compactMap { lesson in lesson.json["causes"].map { (lesson.file, $0) } }
    }

    /// Every demo that a lesson promises can be run, and every one that can be run belongs to a lesson.
    func demonstrations() -> [Defect] {
        var found: [Defect] = []
        var promised: Set<String> = []
        for lesson in lessons {
            for demo in lesson.json["demos"]?.elements ?? [] {
                let id = demo["id"]?.string ?? ""
                promised.insert(id)
                guard !demos.contains(id) else { continue }
                found.append(
                    Defect(
                        "demos", lesson.file, line: demo.line,
                        say("`lab run` knows no demo \"\(id)\"", "`lab run` 没有演示 \"\(id)\""),
                        do: say("write it, or remove it here", "请写出这个演示，或从这里删除")
                            + (nearest(to: id, among: demos.sorted()).map { say(" (there is \($0))", "（有 \($0)）") }
                                ?? "")))
            }
        }
        for demo in demos.sorted() where !promised.contains(demo) {
            found.append(
                Defect(
                    "demos", "Lessons", say("no lesson mentions the demo \"\(demo)\"", "没有一课提到演示 \"\(demo)\""),
                    do: say("add it to \"demos\" of its lesson.json", "请加到所属课程 lesson.json 的 \"demos\" 中")))
        }
        return found
    }
}
