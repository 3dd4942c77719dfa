// How long a body is (RFC 9112 section 6.3). Two readers that disagree here see different messages in the same bytes.
import Course

enum BodyFraming: Equatable {
    case length(Int)
    case chunked
    /// To the end of the connection: responses only.
    case untilClose
}

extension BodyFraming {
    /// A request without either length has no body: the client still waits for an answer, so it cannot end by closing.
    init(ofRequest fields: [HTTPField], minorVersion: Int) throws {
        self = try BodyFraming(announcedIn: fields, minorVersion: minorVersion) ?? .length(0)
    }

    /// - Parameter method: of the request that is answered.
    init(ofResponse status: Int, to method: String, fields: [HTTPField], minorVersion: Int) throws {
        // The fields of these tell what a GET would have brought; nothing follows (RFC 9110 section 6.4.1).
        if method == "HEAD" || status < 200 || status == 204 || status == 304 {
            self = .length(0)
        } else {
            self = try BodyFraming(announcedIn: fields, minorVersion: minorVersion) ?? .untilClose
        }
    }

    private init?(announcedIn fields: [HTTPField], minorVersion: Int) throws {
        let lengths = fields.values("Content-Length")
        if !fields.values("Transfer-Encoding").isEmpty {
            // With both, one server on the way counts and the next one looks for chunks: the classic smuggled request.
            // HTTP/1.0 has no chunks, so who says so there has passed a message on without understanding it.
            guard lengths.isEmpty, minorVersion >= 1 else { throw MessageError.malformed }
            let codings = fields.elements("Transfer-Encoding")
            // Chunked comes last, and once, or the end cannot be found.
            guard codings.last == "chunked", !codings.dropLast().contains("chunked") else {
                throw MessageError.malformed
            }
            self = .chunked
            return
        }
        guard let length = lengths.first else { return nil }
        // Digits only, so neither "+5" nor "5, 5"; and once, even if it is the same twice.
        let digits = length.utf8
        guard lengths.count == 1, !digits.isEmpty,
            digits.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) })
        else { throw MessageError.malformed }
        guard let count = Int(length) else { throw MessageError.bodyTooLong }
        self = .length(count)
    }
}
