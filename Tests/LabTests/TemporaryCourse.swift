import Foundation
import Graders
import XCTest

@testable import GraderKit
@testable import LabCore

/// A course in a temporary folder, to be changed and broken: a small one with nothing wrong in it, or a copy of the real one.
final class TemporaryCourse {
    let root: URL
    private(set) var graders: [LessonGrader]
    var workspace: Workspace { Workspace(root: root) }

    /// Lesson 41, as `lab new` writes it, in the smallest package that a lint accepts.
    static func small() throws -> TemporaryCourse {
        let lesson = LessonTemplate(slug: "41-small", kind: .tcp)
        let course = TemporaryCourse([LessonGrader(slug: "41-small", checks: [Check("echo-server-answers") { _ in }])])
        for (path, text) in lesson.files { try course.write(text, to: path) }
        let rows = [false, true].map(lesson.readmeRow)
        try course.write("let lessons = [\n    \"41-small\",\n]\n", to: "Package.swift")
        try course.write("# Small\n\n| | |\n|---|---|\n" + rows[0], to: "README.md")
        try course.write("# 小课程\n\n| | |\n|---|---|\n" + rows[1], to: "README.zh-Hans.md")
        try course.write("{}\n", to: "Lessons/common.json")
        try course.write(
            """
            {
              "sigpipe": {
                "title": { "en": "SIGPIPE ended it", "zh-Hans": "被 SIGPIPE 结束" },
                "why": { "en": "The peer was gone.", "zh-Hans": "对端已经不在。" },
                "read": "41#writing-echo-server"
              }
            }

            """, to: "Lessons/causes.json")
        try course.write("let sigpipe = Cause(\"sigpipe\") { _ in nil }\n", to: "Sources/GraderKit/Cause.swift")
        try course.write(
            "public let allGraders: [LessonGrader] = [\n    lesson41\n]\n", to: "Sources/Graders/AllGraders.swift")
        try course.write(
            """
            import Course
            import Solution41

            var references: [any LessonContract] {
                [
                    Solution41.reference
                ]
            }

            """, to: "Sources/lab/References.swift")
        try course.replace(
            "\"demos\": []",
            by: #""demos": [{ "id": "small-demo", "title": { "en": "a demo", "zh-Hans": "一个演示" } }]"#,
            in: "Lessons/41-small/lesson.json")
        try course.write("*.mine-*\n.build/\n.lab/\n", to: ".gitignore")
        return course
    }

    /// The package that these tests belong to.
    static func copy() throws -> TemporaryCourse {
        let original = URL(fileURLWithPath: #filePath)
            .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        let course = TemporaryCourse(allGraders)
        for path in ProjectFiles(root: original).paths {
            let file = course.url(path)
            try FileManager.default.createDirectory(
                at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
            try FileManager.default.copyItem(at: original.appendingPathComponent(path), to: file)
        }
        return course
    }

    private init(_ graders: [LessonGrader]) {
        self.graders = graders
        root = FileManager.default.temporaryDirectory.appendingPathComponent("lab-course-\(UUID().uuidString)")
    }

    deinit { try? FileManager.default.removeItem(at: root) }

    func url(_ path: String) -> URL { root.appendingPathComponent(path) }
    func text(_ path: String) throws -> String { try String(contentsOf: url(path), encoding: .utf8) }
    func exists(_ path: String) -> Bool { FileManager.default.fileExists(atPath: url(path).path) }

    func write(_ text: String, to path: String) throws {
        try FileManager.default.createDirectory(
            at: url(path).deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(text.utf8).write(to: url(path))
    }

    func remove(_ path: String) throws { try FileManager.default.removeItem(at: url(path)) }

    /// Replaces the first occurrence; fails the test if there is none.
    func replace(
        _ old: String, by new: String, in path: String, file: StaticString = #filePath, line: UInt = #line
    ) throws {
        let text = try text(path)
        let range = try XCTUnwrap(text.range(of: old), "\(path) has no \"\(old)\"", file: file, line: line)
        try write(text.replacingCharacters(in: range, with: new), to: path)
    }

    /// Every file and what is in it.
    func snapshot() throws -> [String: String] {
        let paths = ProjectFiles(root: root).paths
        return Dictionary(uniqueKeysWithValues: try paths.map { ($0, try text($0)) })
    }

    /// What `lab new` writes, and the grader that a build would add.
    @discardableResult
    func addLesson(_ number: String, _ topic: String, _ kind: ExerciseKind = .tcp) throws -> FileChanges {
        let (slug, exercise, changes) = try Scaffold(workspace).lesson(number: number, topic: topic, kind: kind)
        try FileTransaction(workspace).commit(changes)
        graders.append(LessonGrader(slug: slug, checks: [Check("\(exercise)-answers") { _ in }]))
        return changes
    }

    @discardableResult
    func addExercise(_ slug: String, _ id: String, _ kind: ExerciseKind = .tcp) throws -> FileChanges {
        let changes = try Scaffold(workspace).exercise(lesson: slug, id: id, kind: kind)
        try FileTransaction(workspace).commit(changes)
        graders = graders.map { grader in
            grader.slug == slug
                ? LessonGrader(slug: slug, checks: grader.checks + [Check("\(id)-answers") { _ in }]) : grader
        }
        return changes
    }

    /// What `lab lint --fast` finds.
    ///
    /// - Parameter demos: those that the lessons promise, unless told otherwise.
    func lint(graders: [LessonGrader]? = nil, demos: Set<String>? = nil) -> [Defect] {
        let lessons = DescribedLesson.all(in: ProjectFiles(root: root)).0
        let promised = lessons.flatMap { $0.json["demos"]?.elements ?? [] }.compactMap { $0["id"]?.string }
        return Lint(workspace, demos: demos ?? Set(promised), graders: graders ?? self.graders).read()
    }
}
