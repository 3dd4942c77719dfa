// Where the lab's files are. Everything that knows a path of the package asks this type.
import Course
import Foundation

/// The package's folder, and what lies where in it.
public struct Workspace: Sendable {
    public let root: URL

    public init(root: URL) { self.root = root.standardizedFileURL }

    /// Looks in the current folder and its parents; then where this program was built (`…/.build/debug/lab`, also through
    /// a symbolic link in PATH); then in `LAB_HOME`.
    public static func find(
        from folder: String = FileManager.default.currentDirectoryPath,
        executable: String? = executablePath(),
        home: String? = ProcessInfo.processInfo.environment["LAB_HOME"]
    ) throws(CommandError) -> Workspace {
        for start in [folder, executable].compactMap({ $0 }) {
            if let root = ancestor(of: URL(fileURLWithPath: start)) { return Workspace(root: root) }
        }
        if let home, !home.isEmpty {
            let root = URL(fileURLWithPath: home)
            if isLab(root) { return Workspace(root: root) }
            throw .usage(
                say(
                    "LAB_HOME is \(home), but SocketLab is not there: set it to the folder with Package.swift and Lessons/.",
                    "LAB_HOME 是 \(home)，但 SocketLab 不在那里：请设为含有 Package.swift 和 Lessons/ 的目录。"))
        }
        throw .usage(
            say(
                "\(folder) is not inside SocketLab: change to its folder, or set LAB_HOME to it.",
                "\(folder) 不在 SocketLab 目录中：请先进入它的目录，或者把 LAB_HOME 设为该目录。"))
    }

    private static func ancestor(of start: URL) -> URL? {
        var folder = start.standardizedFileURL
        while true {
            if isLab(folder) { return folder }
            if folder.path == "/" { return nil }
            folder.deleteLastPathComponent()
        }
    }

    private static func isLab(_ folder: URL) -> Bool {
        ["Package.swift", "Lessons/causes.json", "Exercises"].allSatisfy {
            FileManager.default.fileExists(atPath: folder.appendingPathComponent($0).path)
        }
    }
}

extension Workspace {
    public func exercises(_ lesson: Catalogue.Lesson) -> URL { root.appendingPathComponent("Exercises/\(lesson.slug)") }

    /// The student's file.
    public func file(_ exercise: Catalogue.Exercise, of lesson: Catalogue.Lesson) -> URL {
        exercises(lesson).appendingPathComponent(exercise.file)
    }

    public func solution(_ exercise: Catalogue.Exercise, of lesson: Catalogue.Lesson) -> URL {
        root.appendingPathComponent("Solutions/\(lesson.slug)/\(exercise.file)")
    }

    /// The lesson's text in a language; the English one where there is no other.
    public func text(of lesson: Catalogue.Lesson, in language: Language) -> URL {
        let folder = root.appendingPathComponent("Lessons/\(lesson.slug)")
        let own = folder.appendingPathComponent(language == .chinese ? "README.zh-Hans.md" : "README.md")
        if FileManager.default.fileExists(atPath: own.path) { return own }
        return folder.appendingPathComponent("README.md")
    }

    /// The lab's own state: progress, kept copies.
    public var state: URL { root.appendingPathComponent(".lab") }

    /// As a person would write it: relative to the root if it is inside, absolute otherwise.
    public func relative(_ path: String) -> String {
        for prefix in Set([root.path, root.resolvingSymlinksInPath().path]) where path.hasPrefix(prefix + "/") {
            return String(path.dropFirst(prefix.count + 1))
        }
        return path
    }

    public func relative(_ file: URL) -> String { relative(file.standardizedFileURL.path) }

    public func catalogue() throws(CommandError) -> Catalogue {
        do { return try Catalogue.load(root: root) } catch {
            throw .failure(
                say("The lab's catalogue cannot be read: \(error)", "读不了实验的目录文件：\(error)"))
        }
    }
}
