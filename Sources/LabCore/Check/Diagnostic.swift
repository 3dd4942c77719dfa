// What the compiler said, taken from the output of `swift build`.
import Foundation

/// One message of the compiler.
public struct Diagnostic: Codable, Equatable, Sendable {
    public enum Severity: String, Codable, Sendable {
        case error
        case warning
        case note
    }

    /// As the compiler wrote it: an absolute path.
    public var file: String
    public var line: Int
    public var column: Int
    public var severity: Severity
    public var message: String
    /// The lines of source that the compiler showed below it.
    public var excerpt: [String]

    /// All messages in the order in which they came, each once: SwiftPM repeats those that several jobs saw.
    public static func parse(_ output: String) -> [Diagnostic] {
        var found: [Diagnostic] = []
        var open = false
        for line in output.split(separator: "\n", omittingEmptySubsequences: false) {
            if let diagnostic = heading(line) {
                open = !found.contains {
                    $0.file == diagnostic.file && $0.line == diagnostic.line && $0.column == diagnostic.column
                        && $0.message == diagnostic.message
                }
                if open { found.append(diagnostic) }
            } else if open, isExcerpt(line) {
                found[found.count - 1].excerpt.append(String(line))
            } else {
                open = false
            }
        }
        return found
    }

    /// `/path/File.swift:12:5: error: cannot find 'x' in scope`
    private static func heading(_ line: Substring) -> Diagnostic? {
        guard line.hasPrefix("/") else { return nil }
        for severity in [Severity.error, .warning, .note] {
            guard let mark = line.range(of: ": \(severity.rawValue): ") else { continue }
            let place = line[..<mark.lowerBound].split(separator: ":", omittingEmptySubsequences: false)
            guard place.count >= 3, let row = Int(place[place.count - 2]), let column = Int(place[place.count - 1])
            else {
                continue
            }
            return Diagnostic(
                file: place.dropLast(2).joined(separator: ":"), line: row, column: column, severity: severity,
                message: String(line[mark.upperBound...]), excerpt: [])
        }
        return nil
    }

    /// `12 |     listen(x)` or `   |            |- error: …`
    private static func isExcerpt(_ line: Substring) -> Bool {
        line.drop(while: { $0 == " " || $0.isNumber }).hasPrefix("|")
    }
}
