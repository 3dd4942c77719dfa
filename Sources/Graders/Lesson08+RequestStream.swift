// Requests as a client may send them, byte for byte, and what a decoder must have made of them after each byte: which
// event is known at which one is noted while the bytes are put together, so nothing is parsed here.
import Course
import GraderKit
import Wire

/// `RequestEvent`, as it crosses to the grader.
enum RequestStep: Equatable {
    case head(method: String, target: String, minor: Int, fields: [[String]])
    case body([UInt8])
    case end

    var text: String {
        switch self {
        case .head(let method, let target, let minor, let fields):
            let list = fields.map { "\($0[0]): \($0.dropFirst().joined())" }.joined(separator: " | ")
            let shown = target.utf8.count > 100 ? String(target.prefix(60)) + "…" : target
            return "head(\(method) \(shown) 1.\(minor) | \(list))"
        case .body(let bytes): return "body(\(quoted(bytes)))"
        case .end: return "end"
        }
    }
}

extension RequestStep {
    /// The fields sorted by their names.
    var inAnyOrder: RequestStep {
        guard case .head(let method, let target, let minor, let fields) = self else { return self }
        return .head(method: method, target: target, minor: minor, fields: fields.sorted { $0[0] < $1[0] })
    }
}

struct RequestStream {
    private(set) var bytes: [UInt8] = []
    /// How many events there are up to the end of a request in chunks.
    private(set) var chunkedEnds: Set<Int> = []
    /// Each event, with the number of bytes after which it is known; a body byte by byte.
    private var steps: [(count: Int, step: RequestStep)] = []

    enum Body {
        case none
        case length([UInt8])
        /// Chunks, what stands behind each size (`;name=value`), and lines behind the last chunk.
        case chunked([[UInt8]], extensions: String = "", trailers: [String] = [], upper: Bool = false)
    }

    /// - Parameter lines: field lines as they are sent, and the value that is to be understood. The field that tells of the
    ///   body is added as the last one.
    /// - Parameter lengthName: how the field that tells of the body is written.
    mutating func add(
        _ method: String, _ target: String, minor: Int = 1, _ lines: [(line: String, value: String)] = host,
        body: Body = .none, lengthName: String? = nil
    ) {
        var lines = lines
        switch body {
        case .none: break
        case .length(let content):
            lines.append(("\(lengthName ?? "Content-Length"): \(content.count)", "\(content.count)"))
        case .chunked: lines.append(("\(lengthName ?? "Transfer-Encoding"): chunked", "chunked"))
        }
        bytes += Array("\(method) \(target) HTTP/1.\(minor)\r\n".utf8)
        bytes += lines.flatMap { Array("\($0.line)\r\n".utf8) } + [0x0d, 0x0a]
        let fields = lines.map { [String($0.line.prefix { $0 != ":" }), $0.value] }
        steps.append((bytes.count, .head(method: method, target: target, minor: minor, fields: fields)))
        switch body {
        case .none: break
        case .length(let content): add(content: content)
        case .chunked(let chunks, let extensions, let trailers, let upper):
            for chunk in chunks {
                bytes += Array("\(String(chunk.count, radix: 16, uppercase: upper))\(extensions)\r\n".utf8)
                add(content: chunk)
                bytes += [0x0d, 0x0a]
            }
            bytes += Array("0\(extensions)\r\n".utf8) + trailers.flatMap { Array("\($0)\r\n".utf8) } + [0x0d, 0x0a]
        }
        steps.append((bytes.count, .end))
        if case .chunked = body { chunkedEnds.insert(expected(after: bytes.count).count) }
    }

    private mutating func add(content: [UInt8]) {
        for byte in content {
            bytes.append(byte)
            steps.append((bytes.count, .body([byte])))
        }
    }

    /// The beginning of a request that is not all here yet.
    mutating func add(unfinished text: String) { bytes += Array(text.utf8) }

    /// What must have come out when so many bytes have gone in.
    func expected(after count: Int) -> [RequestStep] { joined(steps.prefix { $0.count <= count }.map(\.step)) }

    static let host = [(line: "Host: localhost", value: "localhost")]
}

/// Pieces of one body put together: where it is cut is the decoder's choice.
func joined(_ steps: [RequestStep]) -> [RequestStep] {
    var joined: [RequestStep] = []
    for step in steps {
        if case .body(let more) = step, case .body(let bytes)? = joined.last {
            joined[joined.count - 1] = .body(bytes + more)
        } else {
            joined.append(step)
        }
    }
    return joined
}

/// What a student's decoder answered.
struct DecodedRequests {
    /// Chunk by chunk.
    var rounds: [[RequestStep]] = []
    /// The status of a refusal.
    var refused: Int?
    /// Another error, or `endless`.
    var error: String?

    /// As `Lesson08.entries` answers.
    init?(_ value: Value) {
        guard case .list(let answers) = value else { return nil }
        for answer in answers {
            switch answer {
            case .list(let values): rounds.append(values.compactMap { RequestStep($0) })
            case .int(let status): refused = status
            case .string(let text): error = text
            default: return nil
            }
        }
    }

    var steps: [RequestStep] { joined(rounds.flatMap { $0 }) }

    var isEndless: Bool { error == "endless" }

    /// What became of it in the end.
    var ending: String? {
        if let refused { return say("RequestRefused(status: \(refused))", "RequestRefused(status: \(refused))") }
        if let error { return isEndless ? say("events without end", "没完没了的事件") : error }
        return nil
    }
}

extension RequestStep {
    fileprivate init?(_ value: Value) {
        guard case .list(let parts) = value, case .string(let kind)? = parts.first else { return nil }
        switch kind {
        case "head":
            guard parts.count == 5, case .string(let method) = parts[1], case .string(let target) = parts[2],
                case .int(let minor) = parts[3], case .list(let list) = parts[4]
            else { return nil }
            let fields = list.map { field -> [String] in
                guard case .list(let pair) = field else { return [] }
                return pair.compactMap { if case .string(let text) = $0 { text } else { nil } }
            }
            self = .head(method: method, target: target, minor: minor, fields: fields)
        case "body":
            guard parts.count == 2, case .bytes(let bytes) = parts[1] else { return nil }
            self = .body(bytes)
        default: self = .end
        }
    }
}

func text(of steps: [RequestStep]) -> String {
    guard !steps.isEmpty else { return say("no event", "没有事件") }
    return steps.prefix(5).map(\.text).joined(separator: ", ") + (steps.count > 5 ? ", …" : "")
}
