// Golden files: what a renderer showed when somebody last looked and liked it. `LAB_WRITE_GOLDENS=1 swift test --filter
// LabCoreTests` writes them anew; then read the difference.
import Course
import Foundation
import GraderKit
import LabCore
import XCTest

enum Fixtures {
    static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("Fixtures")
    static let workspace = Workspace(root: folder.appendingPathComponent("package"))

    static func catalogue() throws -> Catalogue { try workspace.catalogue() }

    static func text(_ name: String) throws -> String {
        try String(contentsOf: folder.appendingPathComponent(name), encoding: .utf8)
            .replacingOccurrences(of: "ROOT", with: workspace.root.path)
    }

    static func verdict(_ name: String) throws -> Verdict {
        try JSONDecoder().decode(Verdict.self, from: Data(try text("verdicts/\(name).json").utf8))
    }

    /// An empty folder that is gone after the test.
    static func temporaryFolder(_ test: XCTestCase) throws -> URL {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("lab-test-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        test.addTeardownBlock { try FileManager.default.removeItem(at: folder) }
        return folder
    }

    /// A copy of the package in miniature, to be changed.
    static func temporaryWorkspace(_ test: XCTestCase) throws -> Workspace {
        let copy = try temporaryFolder(test).appendingPathComponent("package")
        try FileManager.default.copyItem(at: workspace.root, to: copy)
        return Workspace(root: copy)
    }
}

extension XCTestCase {
    /// Runs `body` once in each language, and puts back the one that was chosen.
    func inEachLanguage(_ body: (Language) throws -> Void) rethrows {
        let before = Language.current
        defer { Language.current = before }
        for language in Language.allCases {
            Language.current = language
            try body(language)
        }
    }

    /// What is shown must be, to the character, what the file `name` holds, and no wider than `width`.
    func assertGolden(
        _ lines: [StyledText], _ name: String, width: Int = 80, file: StaticString = #filePath, line: UInt = #line
    ) throws {
        for shown in lines where shown.width > width {
            XCTFail("\(shown.width) columns: \(shown.plain)", file: file, line: line)
        }
        let text = lines.map { $0.plain.trimmingTrailing + "\n" }.joined()
        let golden = Fixtures.folder.appendingPathComponent("golden/\(name).txt")
        if ProcessInfo.processInfo.environment["LAB_WRITE_GOLDENS"] == "1" {
            return try text.write(to: golden, atomically: true, encoding: .utf8)
        }
        let expected = try String(contentsOf: golden, encoding: .utf8)
        guard text != expected else { return }
        let difference = LineDifference(from: expected, to: text).text(old: name, new: "now").map(\.plain)
        XCTFail("\n" + difference.joined(separator: "\n"), file: file, line: line)
    }
}

extension String {
    fileprivate var trimmingTrailing: String {
        var text = self
        while text.last == " " { text.removeLast() }
        return text
    }
}
