import Course
import Foundation

/// One thing that is wrong with the course: where, what, and what to do about it.
public struct Defect: Codable, Equatable, Sendable {
    /// Which rule found it: a short word for those who sort findings, `hints`, `links`.
    public var rule: String
    /// Relative to the package's folder.
    public var file: String
    public var line: Int?
    public var problem: String
    public var remedy: String

    public init(_ rule: String, _ file: String, line: Int? = nil, _ problem: String, do remedy: String) {
        self.rule = rule
        self.file = file
        self.line = line
        self.problem = problem
        self.remedy = remedy
    }

    /// `Lessons/04-tcp/lesson.json:31`
    public var place: String { line.map { "\(file):\($0)" } ?? file }

    /// One line of JSON, without its end: `{"event":"finding","file":…}`.
    public func json() throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(Line(event: "finding", finding: self)), as: UTF8.self)
    }

    private struct Line: Encodable {
        var event: String
        var finding: Defect
        enum CodingKeys: CodingKey { case event }

        func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(event, forKey: .event)
            try finding.encode(to: encoder)
        }
    }
}

extension [Defect] {
    /// By place; what is wrong with a file as a whole comes first.
    public var inOrder: [Defect] {
        sorted { left, right in
            (left.file, left.line ?? 0, left.rule, left.problem)
                < (right.file, right.line ?? 0, right.rule, right.problem)
        }
    }
}
