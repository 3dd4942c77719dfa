// `lab lint`: what the compiler cannot see. The course is spread over data, texts and code that must say the same
// things; each rule here reads two of them and names the places where they differ. Nothing is written, nothing is
// repaired.
import Course
import Foundation
import GraderKit
import Graders

public struct Lint {
    public let workspace: Workspace
    let files: ProjectFiles
    /// What this program can judge.
    let graders: [LessonGrader]
    /// The names that `lab run` knows.
    let demos: Set<String>
    /// As `Lessons/*/lesson.json` describes them.
    let lessons: [DescribedLesson]
    /// Files of JSON that could not be read at all.
    private let unreadable: [Defect]

    public init(
        _ workspace: Workspace, demos: Set<String>, graders: [LessonGrader] = allGraders
    ) {
        self.workspace = workspace
        self.demos = demos
        self.graders = graders
        files = ProjectFiles(root: workspace.root)
        (lessons, unreadable) = DescribedLesson.all(in: files)
    }

    /// What can be seen by reading.
    public func read() -> [Defect] {
        let found = [
            unreadable, registration(), translations(), checksAndHints(), namedCauses(), gradersAndTests(),
            demonstrations(), twinFiles(), strayFiles(), anchorsAndLinks(), twinTexts(), whatIsGraded(), commands(),
        ].flatMap { $0 }
        // The catalogue itself has the last word, on anything that no rule above has a name for.
        guard found.isEmpty else { return found.inOrder }
        do {
            _ = try Catalogue.load(root: workspace.root)
            return []
        } catch {
            let text = "\(error)".replacingOccurrences(of: workspace.root.path + "/", with: "")
            let file = text.contains(":") ? String(text.prefix { $0 != ":" }) : "Lessons"
            return [Defect("catalogue", file, text, do: say("repair this entry", "请修正这一项"))]
        }
    }
}

/// A lesson.json, as far as it can be understood: a lint must go on where the lab's own reader stops.
struct DescribedLesson {
    var slug: String
    /// `Lessons/04-tcp/lesson.json`
    var file: String
    var json: LocatedJSON
    var exercises: [Exercise]

    struct Exercise {
        var id: String
        var file: String
        var line: Int
        var checks: [Check]
    }

    struct Check {
        var id: String
        var line: Int
        var json: LocatedJSON
        /// Its entry in common.json, if it has one.
        var common: (file: String, json: LocatedJSON)?

        /// A field of its own, or of the entry in common.json.
        func field(_ name: String) -> (file: String, json: LocatedJSON)? {
            if let own = json[name] { return ("", own) }
            return common.flatMap { common in common.json[name].map { (common.file, $0) } }
        }
    }

    var number: String { String(slug.prefix(2)) }
    var folder: String { "Lessons/" + slug }
    var checks: [Check] { exercises.flatMap(\.checks) }

    static let commonFile = "Lessons/common.json"
    static let causesFile = "Lessons/causes.json"

    static func all(in files: ProjectFiles) -> ([DescribedLesson], [Defect]) {
        var findings: [Defect] = []
        func parse(_ file: String) -> LocatedJSON? {
            do { return try LocatedJSON.parse(files.text(file)) } catch {
                findings.append(
                    Defect(
                        "json", file, line: error.line,
                        say("this is not JSON: \(error.description)", "不是合法的 JSON：\(error.description)"),
                        do: say("repair the file at this line", "请修正这一行")))
                return nil
            }
        }
        let common = files.has(commonFile) ? parse(commonFile) : nil
        if files.has(causesFile) { _ = parse(causesFile) }
        let names = files.names(in: "Lessons").filter { files.has("Lessons/\($0)/lesson.json") }
        let lessons = names.compactMap { slug -> DescribedLesson? in
            let file = "Lessons/\(slug)/lesson.json"
            guard let json = parse(file) else { return nil }
            return DescribedLesson(slug: slug, file: file, json: json, exercises: exercises(of: json, common))
        }
        return (lessons, findings)
    }

    private static func exercises(of json: LocatedJSON, _ common: LocatedJSON?) -> [Exercise] {
        (json["exercises"]?.elements ?? []).map { exercise in
            let checks = (exercise["checks"]?.elements ?? []).map { check in
                let entry = check["common"]?.string.flatMap { common?[$0] }
                return Check(
                    id: check["id"]?.string ?? "", line: (check["id"] ?? check).line, json: check,
                    common: entry.map { (commonFile, $0) })
            }
            return Exercise(
                id: exercise["id"]?.string ?? "", file: exercise["file"]?.string ?? "",
                line: (exercise["id"] ?? exercise).line, checks: checks)
        }
    }
}
