// Responses out of the bytes of one connection: what the client reads. Bytes in, events out.
import Course

enum ResponseEvent: Equatable {
    /// A 1xx head comes before the one that counts, and has no body and no `.end`.
    case head(status: Int, reason: String, minorVersion: Int, fields: [HTTPField])
    case body([UInt8])
    case end
}

struct ResponseDecoder {
    private var reader: MessageReader
    /// Of the request that is answered: what follows a head depends on it.
    private let method: String
    private var state = State.line

    private enum State {
        case line
        case fields(status: Int, reason: String, minorVersion: Int)
        case body(BodyFraming)
        case ended
    }

    /// For one response; the next one on the same connection gets a decoder of its own.
    init(to method: String, limits: RequestLimits) {
        self.method = method
        reader = MessageReader(limits: limits)
    }

    mutating func feed(_ bytes: some Collection<UInt8>) { reader.feed(bytes) }

    /// Bytes behind the end of the response: nobody asked for them, so the connection cannot be used again.
    var hasRest: Bool { !reader.isEmpty }

    /// - Throws: `MessageError`.
    mutating func next() throws -> ResponseEvent? {
        while true {
            switch state {
            case .line:
                guard let line = try reader.startLine() else { return nil }
                state = try parseStatusLine(line)
            case .fields(let status, let reason, let minorVersion):
                guard let fields = try reader.allFields() else { return nil }
                if status == 100 {
                    state = .line
                } else {
                    let framing = try BodyFraming(
                        ofResponse: status, to: method, fields: fields, minorVersion: minorVersion)
                    try reader.beginBody(framing)
                    state = .body(framing)
                }
                return .head(status: status, reason: reason, minorVersion: minorVersion, fields: fields)
            case .body:
                switch try reader.bodyPart() {
                case nil: return nil
                case .bytes(let bytes)?: return .body(bytes)
                case .end?:
                    state = .ended
                    return .end
                }
            case .ended: return nil
            }
        }
    }

    /// The connection has ended, and `next` has nothing more.
    ///
    /// - Returns: whether the response is complete: only a body without any length may end so.
    var isCompleteAtEnd: Bool {
        switch state {
        case .ended, .body(.untilClose): return true
        default: return false
        }
    }

    /// `HTTP/1.1 200 OK`; the reason may be empty, or missing with its space (RFC 9112 section 4).
    private func parseStatusLine(_ line: ArraySlice<UInt8>) throws -> State {
        let parts = line.split(separator: 32, maxSplits: 2, omittingEmptySubsequences: false)
        guard parts.count >= 2, parts[1].count == 3, let status = Int(String(decoding: parts[1], as: UTF8.self)),
            (100..<600).contains(status)
        else { throw MessageError.malformed }
        let reason = parts.count == 3 ? String(decoding: parts[2], as: UTF8.self) : ""
        return .fields(status: status, reason: reason, minorVersion: try parseVersion(parts[0]))
    }
}
