// What happened, as data: one JSON object a line. Everything that shows results reads these, and nothing else.
import Course
import Foundation
import GraderKit

/// One thing that a run of checks brought.
public enum Event: Sendable {
    case verdict(Verdict)
    /// A lesson's code did not compile.
    case broken(lesson: String, [Diagnostic])
    case summary(Summary)
}

extension Event {
    fileprivate struct Line<Body: Encodable>: Encodable {
        var event: String
        var body: Body
        enum CodingKeys: CodingKey { case event }

        func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(event, forKey: .event)
            try body.encode(to: encoder)
        }
    }

    private struct Broken: Codable {
        var lesson: String
        var diagnostics: [Diagnostic]
    }

    /// From a line that `json` wrote.
    public init(json: String) throws {
        struct Head: Decodable { var event: String }
        let data = Data(json.utf8)
        let decoder = JSONDecoder()
        switch try decoder.decode(Head.self, from: data).event {
        case "verdict": self = .verdict(try decoder.decode(Verdict.self, from: data))
        case "broken":
            let body = try decoder.decode(Broken.self, from: data)
            self = .broken(lesson: body.lesson, body.diagnostics)
        case "summary": self = .summary(try decoder.decode(Summary.self, from: data))
        case let other: throw CommandError.failure("no event \"\(other)\"")
        }
    }

    /// One line, without its end: `{"event":"verdict","check":"two-clients",…}`.
    public func json() throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        switch self {
        case .verdict(let verdict):
            return String(decoding: try encoder.encode(Line(event: "verdict", body: verdict)), as: UTF8.self)
        case .broken(let lesson, let diagnostics):
            let body = Broken(lesson: lesson, diagnostics: diagnostics)
            return String(decoding: try encoder.encode(Line(event: "broken", body: body)), as: UTF8.self)
        case .summary(let summary):
            return String(decoding: try encoder.encode(Line(event: "summary", body: summary)), as: UTF8.self)
        }
    }
}

/// `{"event":"…", …}`: an object with its event beside its own fields.
public func jsonLine(event: String, _ body: some Encodable) throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return String(decoding: try encoder.encode(Event.Line(event: event, body: body)), as: UTF8.self)
}
