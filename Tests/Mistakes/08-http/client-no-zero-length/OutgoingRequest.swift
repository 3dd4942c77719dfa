// What a request is on the wire, and what it becomes when it is sent elsewhere.
import Course

struct OutgoingRequest {
    private(set) var url: HTTPURL
    private(set) var method: String
    /// The caller's own, and those that describe the body.
    private var fields: [HTTPField]
    private var body: [UInt8]
    private var hasLength: Bool

    /// - Throws: `ClientError.badURL`, `.unsupportedScheme`, `.badField`.
    init(_ request: ClientRequest) throws {
        url = try HTTPURL(request.url)
        guard isToken(request.method) else { throw ClientError.badField }
        method = request.method
        fields = request.fields
        for field in fields {
            // A line end in a value would begin a field, or a request, that somebody else has thought of.
            let isValue = field.value.utf8.allSatisfy { $0 >= 32 && $0 != 127 || $0 == 9 }
            guard isToken(field.name), isValue, !ownFields.contains(field.name.lowercased()) else {
                throw ClientError.badField
            }
        }
        let type: String?
        switch request.body {
        case .none: (body, type) = ([], nil)
        case .form(let entries): (body, type) = (formBody(entries), "application/x-www-form-urlencoded")
        case .json(let bytes): (body, type) = (bytes, "application/json")
        case .bytes(let bytes, let given): (body, type) = (bytes, given)
        }
        // A length of 0 is said too where a body is what the method is for (RFC 9110 section 8.6).
        hasLength = !body.isEmpty
        if let type, fields["Content-Type"] == nil {
            guard type.utf8.allSatisfy({ $0 >= 32 && $0 != 127 }) else { throw ClientError.badField }
            fields.append(HTTPField("Content-Type", type))
        }
    }

    /// Twice does what once does (RFC 9110 section 9.2.2). After a POST that got no answer nobody knows whether the order was
    /// placed; sent again, there may be two.
    var isRepeatable: Bool { ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"].contains(method) }

    /// All of it at once, so that a small request is one segment.
    var bytes: [UInt8] {
        var head = "\(method) \(url.target) HTTP/1.1\r\n"
        if fields["Host"] == nil { head += "Host: \(url.host)\r\n" }
        for field in fields { head += "\(field.name): \(field.value)\r\n" }
        if hasLength { head += "Content-Length: \(body.count)\r\n" }
        return Array((head + "\r\n").utf8) + body
    }

    // MARK: Redirects (RFC 9110 section 15.4)

    func redirected(_ status: Int, to location: String) throws -> OutgoingRequest {
        var next = self
        next.url = try url.resolved(location)
        // 307 and 308 say: the same request, there. 303 says: the answer is there, go and get it. 301 and 302 meant the
        // first, but were taken for the second by everybody where it was a POST, and so it was written down.
        if status == 303 && method != "HEAD" || (status == 301 || status == 302) && method == "POST" {
            next.method = "GET"
            next.body = []
            next.hasLength = false
            next.fields.removeAll { $0.name.lowercased().hasPrefix("content-") }
        }
        // What was said to one server in confidence is not for another. Whoever runs an open redirect could have it sent to
        // himself.
        if next.url.origin != url.origin {
            next.fields.removeAll { confidential.contains($0.name.lowercased()) }
        }
        return next
    }
}

/// Where the message ends, and what becomes of the connection: who lets others set these has two truths about both.
private let ownFields: Set = ["content-length", "transfer-encoding", "connection"]

/// Host is no secret, but it names the server that was left.
private let confidential: Set = ["authorization", "cookie", "proxy-authorization", "host"]

private func isToken(_ text: String) -> Bool { !text.isEmpty && text.utf8.allSatisfy(isTokenByte) }
