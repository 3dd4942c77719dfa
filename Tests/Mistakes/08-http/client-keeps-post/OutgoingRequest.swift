import Course

struct OutgoingRequest {
    private(set) var url: HTTPURL
    private(set) var method: String
    private var fields: [HTTPField]
    private var body: [UInt8]
    private var hasLength: Bool

    init(_ request: ClientRequest) throws {
        url = try HTTPURL(request.url)
        guard isToken(request.method) else { throw ClientError.badField }
        method = request.method
        fields = request.fields
        for field in fields {
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
        hasLength = request.body != .none || ["POST", "PUT", "PATCH"].contains(method)
        if let type, fields["Content-Type"] == nil {
            guard type.utf8.allSatisfy({ $0 >= 32 && $0 != 127 }) else { throw ClientError.badField }
            fields.append(HTTPField("Content-Type", type))
        }
    }

    var isRepeatable: Bool { ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"].contains(method) }

    var bytes: [UInt8] {
        var head = "\(method) \(url.target) HTTP/1.1\r\n"
        if fields["Host"] == nil { head += "Host: \(url.host)\r\n" }
        for field in fields { head += "\(field.name): \(field.value)\r\n" }
        if hasLength { head += "Content-Length: \(body.count)\r\n" }
        return Array((head + "\r\n").utf8) + body
    }

    func redirected(_ status: Int, to location: String) throws -> OutgoingRequest {
        var next = self
        next.url = try url.resolved(location)
        if status == 399 {
            next.method = "GET"
            next.body = []
            next.hasLength = false
            next.fields.removeAll { $0.name.lowercased().hasPrefix("content-") }
        }
        if next.url.origin != url.origin {
            next.fields.removeAll { confidential.contains($0.name.lowercased()) }
        }
        return next
    }
}

private let ownFields: Set = ["content-length", "transfer-encoding", "connection"]

private let confidential: Set = ["authorization", "cookie", "proxy-authorization", "host"]

private func isToken(_ text: String) -> Bool { !text.isEmpty && text.utf8.allSatisfy(isTokenByte) }
