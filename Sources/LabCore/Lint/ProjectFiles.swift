// The files of a package as its author sees them: what git would keep. Read once; all rules look at the same bytes.
import Course
import Foundation
import Sockets

public final class ProjectFiles {
    public let root: URL
    /// Relative to the root, sorted.
    public let paths: [String]
    private let known: Set<String>
    private var texts: [String: String] = [:]
    private var splits: [String: [Substring]] = [:]
    private var outlines: [String: Outline] = [:]

    public init(root: URL) {
        self.root = root.standardizedFileURL
        let ignored = ProjectFiles.ignoredNames(root: root)
        var found: [String] = []
        ProjectFiles.walk(self.root, "", ignored, &found)
        paths = found.sorted()
        known = Set(paths)
    }

    private static func walk(_ root: URL, _ folder: String, _ ignored: [String], _ found: inout [String]) {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: root.path + "/" + folder)) ?? []
        for name in names where !ignored.contains(where: { fnmatch($0, name, 0) == 0 }) {
            let path = folder.isEmpty ? name : folder + "/" + name
            var isFolder: ObjCBool = false
            guard FileManager.default.fileExists(atPath: root.path + "/" + path, isDirectory: &isFolder) else {
                found.append(path)  // a symbolic link to nowhere
                continue
            }
            if isFolder.boolValue { walk(root, path, ignored, &found) } else { found.append(path) }
        }
    }

    /// The patterns of .gitignore, which in this project are names (glob(7)), never paths.
    private static func ignoredNames(root: URL) -> [String] {
        let text = (try? String(contentsOf: root.appendingPathComponent(".gitignore"), encoding: .utf8)) ?? ""
        let patterns = text.split(separator: "\n").map { $0.trimmingCharacters(in: .whitespaces) }
            .filter { !$0.isEmpty && !$0.hasPrefix("#") }
        return [".git", ".build"] + patterns.map { $0.hasSuffix("/") ? String($0.dropLast()) : $0 }
    }

    public func has(_ path: String) -> Bool { known.contains(path) }

    /// A folder counts if there is a file in it.
    public func hasFolder(_ path: String) -> Bool { paths.contains { $0.hasPrefix(path + "/") } }

    /// Files below a folder, relative to the root.
    public func under(_ folder: String) -> [String] { paths.filter { $0.hasPrefix(folder + "/") } }

    /// The names directly in a folder, of files and of folders.
    public func names(in folder: String) -> [String] {
        Set(under(folder).map { String($0.dropFirst(folder.count + 1).prefix { $0 != "/" }) }).sorted()
    }

    /// Empty for a file that is not there.
    public func text(_ path: String) -> String {
        if let text = texts[path] { return text }
        let data = known.contains(path) ? try? Data(contentsOf: root.appendingPathComponent(path)) : nil
        let text = String(decoding: data ?? Data(), as: UTF8.self)
        texts[path] = text
        return text
    }

    public func lines(_ path: String) -> [Substring] {
        if let lines = splits[path] { return lines }
        let lines = text(path).split(separator: "\n", omittingEmptySubsequences: false)
        splits[path] = lines
        return lines
    }

    /// Of a Markdown text.
    func outline(_ path: String) -> Outline {
        if let outline = outlines[path] { return outline }
        let outline = Outline(text(path))
        outlines[path] = outline
        return outline
    }

    /// The first line that contains a text, from 1.
    public func line(of part: String, in path: String) -> Int? {
        lines(path).firstIndex { $0.contains(part) }.map { $0 + 1 }
    }
}
