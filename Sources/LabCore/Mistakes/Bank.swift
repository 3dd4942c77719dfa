// The bank of mistakes: wrong programs with what graders must say of them, and right programs in other styles that they
// must accept. Tests/Mistakes/README.md describes its files; this reads them.
import Course
import Foundation

/// One program of the bank.
public struct BankProgram: Sendable {
    public enum Kind: Sendable {
        case wrong(Mistake)
        case right
    }

    public var lesson: Catalogue.Lesson
    /// Its folder's name: `short-send`, `right-poll`.
    public var name: String
    public var folder: URL
    public var kind: Kind
    /// Who makes this mistake and why; or what is different about this right program.
    public var about: Text
    /// Its own files by name; all others are the reference's.
    public var files: [String: Data]

    public var isRight: Bool { if case .right = kind { true } else { false } }
}

/// What must come of a wrong program.
public struct Mistake: Sendable {
    /// Checks that must fail, the first of them the one whose report is kept.
    public var fails: [String]
    /// Checks that may fail or not.
    public var may: Set<String>
    /// The named cause that the report of each of `fails` must give.
    public var causes: [String: String]
}

public struct Bank: Sendable {
    public var programs: [BankProgram]

    /// - Parameter root: `Tests/Mistakes`.
    /// - Throws: what is wrong with the first file that is.
    public static func read(_ workspace: Workspace, _ catalogue: Catalogue) throws(CommandError) -> Bank {
        let root = workspace.root.appendingPathComponent("Tests/Mistakes")
        var programs: [BankProgram] = []
        for slug in folders(in: root) {
            let folder = root.appendingPathComponent(slug)
            guard let lesson = catalogue.lessons.first(where: { $0.slug == slug }) else {
                throw problem(folder, "there is no lesson \(slug)", "没有 \(slug) 这一课")
            }
            for name in folders(in: folder) {
                programs.append(
                    try program(folder.appendingPathComponent(name), lesson, catalogue, workspace))
            }
        }
        return Bank(programs: programs)
    }

    private static func folders(in folder: URL) -> [String] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
        var isFolder: ObjCBool = false
        return names.sorted().filter {
            FileManager.default.fileExists(atPath: folder.appendingPathComponent($0).path, isDirectory: &isFolder)
                && isFolder.boolValue
        }
    }

    /// mistake.json
    private struct WrongFile: Decodable {
        var about: Text
        var fails: [String]
        var cause: String?
        var causes: [String: String]?
        var may: [String]?
    }

    /// right.json
    private struct RightFile: Decodable { var about: Text }

    private static func program(
        _ folder: URL, _ lesson: Catalogue.Lesson, _ catalogue: Catalogue, _ workspace: Workspace
    ) throws(CommandError) -> BankProgram {
        let name = folder.lastPathComponent
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder.path))?.sorted() ?? []
        let sources = names.filter { $0.hasSuffix(".swift") }
        guard !sources.isEmpty else { throw problem(folder, "it has no Swift file", "没有 Swift 文件") }
        let known: Set = ["mistake.json", "right.json", "report.txt", "report.zh-Hans.txt"]
        if let stray = names.first(where: { !known.contains($0) && !$0.hasSuffix(".swift") }) {
            throw problem(folder.appendingPathComponent(stray), "this file has no meaning here", "这个文件在这里没有意义")
        }
        var files: [String: Data] = [:]
        for source in sources { files[source] = try content(folder.appendingPathComponent(source)) }
        let wrong = folder.appendingPathComponent("mistake.json")
        let right = folder.appendingPathComponent("right.json")
        let isRight = name.hasPrefix("right-")
        guard names.contains(isRight ? "right.json" : "mistake.json"),
            !names.contains(isRight ? "mistake.json" : "right.json")
        else {
            throw problem(
                folder, "a folder right-… has a right.json, any other a mistake.json",
                "right- 开头的目录要有 right.json，其他目录要有 mistake.json")
        }
        if isRight {
            let file = try decode(RightFile.self, right)
            return BankProgram(
                lesson: lesson, name: name, folder: folder, kind: .right, about: file.about, files: files)
        }
        let file = try decode(WrongFile.self, wrong)
        let ids = lesson.checks.map(\.id)
        let fails = try expand(file.fails, ids, wrong)
        let may = try Set(expand(file.may ?? [], ids, wrong)).subtracting(fails)
        guard !fails.isEmpty else { throw problem(wrong, "\"fails\" names no check", "\"fails\" 没有写任何检查") }
        var causes: [String: String] = [:]
        for check in fails { causes[check] = file.cause }
        for (pattern, cause) in file.causes ?? [:] {
            for check in try expand([pattern], ids, wrong) {
                guard fails.contains(check) else {
                    throw problem(
                        wrong, "\"causes\": \(check) is not in \"fails\"", "\"causes\"：\(check) 不在 \"fails\" 里")
                }
                causes[check] = cause
            }
        }
        for check in fails where causes[check] == nil {
            throw problem(wrong, "no cause is given for \(check)", "没有写 \(check) 的原因")
        }
        if let unknown = causes.values.first(where: { catalogue.causes[$0] == nil }) {
            throw problem(wrong, "there is no cause \(unknown)", "没有名为 \(unknown) 的原因")
        }
        return BankProgram(
            lesson: lesson, name: name, folder: folder,
            kind: .wrong(Mistake(fails: fails, may: may, causes: causes)), about: file.about, files: files)
    }

    /// `uppercase-*` stands for all checks that begin so.
    private static func expand(_ patterns: [String], _ ids: [String], _ file: URL) throws(CommandError) -> [String] {
        var found: [String] = []
        for pattern in patterns {
            let matching =
                pattern.hasSuffix("*") ? ids.filter { $0.hasPrefix(pattern.dropLast()) } : ids.filter { $0 == pattern }
            guard !matching.isEmpty else {
                throw problem(file, "the lesson has no check \(pattern)", "本课没有检查 \(pattern)")
            }
            found += matching.filter { !found.contains($0) }
        }
        return found
    }

    private static func content(_ file: URL) throws(CommandError) -> Data {
        do { return try Data(contentsOf: file) } catch { throw .failure("\(file.path): \(reason(error))") }
    }

    private static func decode<Content: Decodable>(_ type: Content.Type, _ file: URL) throws(CommandError) -> Content {
        let data = try content(file)
        do { return try JSONDecoder().decode(type, from: data) } catch DecodingError.keyNotFound(let key, _) {
            throw problem(file, "\"\(key.stringValue)\" is missing", "缺少 \"\(key.stringValue)\"")
        } catch { throw problem(file, "not as README.md says: \(error)", "与 README.md 的说明不符：\(error)") }
    }

    private static func problem(_ file: URL, _ english: String, _ chinese: String) -> CommandError {
        .failure(say("\(file.path): \(english)", "\(file.path)：\(chinese)"))
    }
}
