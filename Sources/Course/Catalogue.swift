import Foundation

/// What there is to learn, read from `Lessons/*/lesson.json`, `Lessons/common.json` and `Lessons/causes.json`.
/// Titles, points, hints and explanations are data; judging is code (`Graders`) and refers to these ids.
public struct Catalogue: Sendable {
    public let lessons: [Lesson]
    /// Named mistakes, by id: what a failed check may give as its reason.
    public let causes: [String: Cause]

    public struct Lesson: Codable, Sendable {
        public var slug: String
        public var title: Text
        public var summary: Text
        public var exercises: [Exercise]
        public var demos: [Demo]

        /// `04`
        public var number: String { String(slug.prefix(2)) }
        public var checks: [Check] { exercises.flatMap(\.checks) }
        public func exercise(of check: String) -> Exercise? {
            exercises.first { $0.checks.contains { $0.id == check } }
        }
    }

    public struct Exercise: Codable, Sendable {
        /// The name of its entry in the contract, or of its topic: `uppercase-server`.
        public var id: String
        /// In `Exercises/<slug>/`, and under the same name in `Solutions/<slug>/`.
        public var file: String
        public var title: Text
        public var checks: [Check]
    }

    public struct Check: Codable, Sendable {
        public var id: String
        public var points: Int
        public var title: Text
        /// The heading in the lesson's text that teaches it, as an anchor: `many-clients`.
        public var read: String
        /// From a question to nearly the answer.
        public var hints: [Text]
        /// Its name in `Lessons/common.json`, if it is one of those that every server shares.
        public var common: String?
    }

    public struct Cause: Codable, Sendable {
        /// One line, in place of the id where a person reads it.
        public var title: Text
        /// What went wrong and why it matters, in one or two short sentences.
        public var why: Text
        /// `04#many-clients`, if another lesson teaches it.
        public var read: String?
    }

    public struct Demo: Codable, Sendable {
        public var id: String
        public var title: Text
    }

    public func lesson(_ name: String) -> Lesson? {
        lessons.first { $0.slug == name || $0.number == name || Int($0.number) == Int(name) && Int(name) != nil }
    }
}

extension Catalogue {
    public struct LoadError: Error, CustomStringConvertible {
        public let description: String
    }

    /// A check as lesson.json writes it: either whole, or `{"id": "…", "points": 1, "common": "eintr"}`, which takes
    /// title, reading and hints from `Lessons/common.json`, where the checks that every server shares are described once.
    private struct RawCheck: Codable {
        var id: String
        var points: Int
        var common: String?
        var title: Text?
        var read: String?
        var hints: [Text]?
    }

    private struct RawExercise: Codable {
        var id: String
        var file: String
        var title: Text
        var checks: [RawCheck]
    }

    private struct RawLesson: Codable {
        var slug: String
        var title: Text
        var summary: Text
        var exercises: [RawExercise]
        var demos: [Demo]?
        var causes: [String: Cause]?
    }

    private struct CommonCheck: Codable {
        var title: Text
        var read: String
        var hints: [Text]
    }

    /// - Parameter root: the package's folder.
    public static func load(root: URL) throws -> Catalogue {
        let folder = root.appendingPathComponent("Lessons")
        let common = try decode([String: CommonCheck].self, folder.appendingPathComponent("common.json"))
        var causes = try decode([String: Cause].self, folder.appendingPathComponent("causes.json"))
        let slugs = try FileManager.default.contentsOfDirectory(atPath: folder.path)
            .filter { FileManager.default.fileExists(atPath: folder.appendingPathComponent("\($0)/lesson.json").path) }
        var lessons: [Lesson] = []
        for slug in slugs.sorted() {
            let file = folder.appendingPathComponent("\(slug)/lesson.json")
            let raw = try decode(RawLesson.self, file)
            guard raw.slug == slug else {
                throw LoadError(description: "\(file.path): \"slug\" is \"\(raw.slug)\", but the folder is \"\(slug)\"")
            }
            causes.merge(raw.causes ?? [:]) { _, new in new }
            let exercises = try raw.exercises.map { exercise in
                Exercise(
                    id: exercise.id, file: exercise.file, title: exercise.title,
                    checks: try exercise.checks.map { try complete($0, from: common, in: file) })
            }
            lessons.append(
                Lesson(
                    slug: slug, title: raw.title, summary: raw.summary, exercises: exercises, demos: raw.demos ?? []))
        }
        return Catalogue(lessons: lessons, causes: causes)
    }

    private static func complete(_ raw: RawCheck, from common: [String: CommonCheck], in file: URL) throws -> Check {
        let base = raw.common.flatMap { common[$0] }
        if let name = raw.common, base == nil {
            throw LoadError(
                description: "\(file.path): check \"\(raw.id)\" uses \"common\": \"\(name)\", which common.json lacks")
        }
        guard let title = raw.title ?? base?.title, let read = raw.read ?? base?.read,
            let hints = raw.hints ?? base?.hints
        else {
            throw LoadError(description: "\(file.path): check \"\(raw.id)\" needs \"title\", \"read\" and \"hints\"")
        }
        return Check(id: raw.id, points: raw.points, title: title, read: read, hints: hints, common: raw.common)
    }

    private static func decode<Content: Decodable>(_ type: Content.Type, _ file: URL) throws -> Content {
        let data: Data
        do { data = try Data(contentsOf: file) } catch {
            throw LoadError(description: "cannot read \(file.path)")
        }
        do { return try JSONDecoder().decode(type, from: data) } catch DecodingError.keyNotFound(let key, let context) {
            let path = (context.codingPath.map(\.stringValue) + [key.stringValue]).joined(separator: ".")
            throw LoadError(description: "\(file.path): \"\(path)\" is missing")
        } catch DecodingError.typeMismatch(_, let context) {
            let path = context.codingPath.map(\.stringValue).joined(separator: ".")
            throw LoadError(description: "\(file.path): \"\(path)\": \(context.debugDescription)")
        } catch {
            throw LoadError(description: "\(file.path): not valid JSON: \(error)")
        }
    }
}
