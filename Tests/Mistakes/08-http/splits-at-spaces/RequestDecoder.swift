import Course

/// Requests out of the bytes of one connection.
struct HTTPRequestDecoder: RequestDecoder {
    private var reader: MessageReader
    private var state = State.line

    private enum State {
        case line
        case fields(RequestHead)
        case body
    }

    init(limits: RequestLimits) {
        reader = MessageReader(limits: limits)
    }

    mutating func feed(_ bytes: [UInt8]) { reader.feed(bytes) }

    mutating func feed(_ bytes: ArraySlice<UInt8>) { reader.feed(bytes) }

    mutating func next() throws -> RequestEvent? {
        do {
            return try nextEvent()
        } catch let error as MessageError {
            throw RequestRefused(status: error.status)
        }
    }

    /// In the middle of a head: its first bytes are here, its last are not.
    var isInHead: Bool {
        switch state {
        case .line: return !reader.isEmpty
        case .fields: return true
        case .body: return false
        }
    }

    var isInBody: Bool {
        if case .body = state { return true }
        return false
    }

    private mutating func nextEvent() throws -> RequestEvent? {
        while true {
            switch state {
            case .line:
                guard let line = try reader.startLine() else { return nil }
                // Some clients of old end a body with a line end that they do not count (RFC 9112 section 2.2).
                if !line.isEmpty { state = .fields(try parseRequestLine(line)) }
            case .fields(var head):
                guard let fields = try reader.allFields() else { return nil }
                head.fields = fields
                try checkHost(fields, minorVersion: head.minorVersion)
                try reader.beginBody(BodyFraming(ofRequest: fields, minorVersion: head.minorVersion))
                state = .body
                return .head(head)
            case .body:
                switch try reader.bodyPart() {
                case nil: return nil
                case .bytes(let bytes)?: return .body(bytes)
                case .end?:
                    state = .line
                    return .end
                }
            }
        }
    }
}

extension MessageError {
    fileprivate var status: Int {
        switch self {
        case .malformed: return 400
        case .bodyTooLong: return 413
        case .startLineTooLong: return 414
        case .fieldsTooLong: return 431
        case .unknownCoding: return 501
        case .unknownVersion: return 505
        }
    }
}

/// `GET /index.html HTTP/1.1`: three parts, one space between them (RFC 9112 section 3).
private func parseRequestLine(_ line: ArraySlice<UInt8>) throws -> RequestHead {
    let parts = line.split(separator: 32)
    guard parts.count == 3, !parts[0].isEmpty, parts[0].allSatisfy(isTokenByte) else { throw MessageError.malformed }
    // Before the target: another version may have other targets.
    let minorVersion = try parseVersion(parts[2])
    let method = String(decoding: parts[0], as: UTF8.self)
    guard isTarget(parts[1], of: method) else { throw MessageError.malformed }
    return RequestHead(
        method: method, target: String(decoding: parts[1], as: UTF8.self), minorVersion: minorVersion, fields: [])
}

/// `HTTP/1.1`; the case of the letters matters (RFC 9112 section 2.3).
///
/// - Returns: the minor version.
func parseVersion(_ bytes: ArraySlice<UInt8>) throws -> Int {
    let digits = UInt8(ascii: "0")...UInt8(ascii: "9")
    let version = Array(bytes)
    guard version.count == 8, version[..<5] == ArraySlice("HTTP/".utf8), version[6] == UInt8(ascii: "."),
        digits.contains(version[5]), digits.contains(version[7])
    else { throw MessageError.malformed }
    guard version[5] == UInt8(ascii: "1") else { throw MessageError.unknownVersion }
    return Int(version[7] - UInt8(ascii: "0"))
}

/// The four forms of RFC 9112 section 3.2.
private func isTarget(_ target: ArraySlice<UInt8>, of method: String) -> Bool {
    // No spaces, no control characters, nothing but ASCII; a fragment (#) stays with the client.
    guard target.allSatisfy({ $0 > 32 && $0 < 127 && $0 != UInt8(ascii: "#") }) else { return false }
    if method == "CONNECT" {
        let port = target.reversed().prefix { $0 != UInt8(ascii: ":") }
        return !port.isEmpty && port.count < target.count - 1 && isAuthority(target)
    }
    if target.first == UInt8(ascii: "/") { return true }
    if target.elementsEqual("*".utf8) { return method == "OPTIONS" }
    let scheme = "http://".utf8
    guard target.count > scheme.count, zip(target, scheme).allSatisfy({ lowercase($0) == $1 }) else { return false }
    let authority = target.dropFirst(scheme.count).prefix { $0 != UInt8(ascii: "/") && $0 != UInt8(ascii: "?") }
    return !authority.isEmpty && isAuthority(authority)
}

/// Which site is meant: one, or somebody on the way may have meant another (RFC 9112 section 3.2).
private func checkHost(_ fields: [HTTPField], minorVersion: Int) throws {
    let hosts = fields.values("Host")
    guard hosts.count == 1 || hosts.isEmpty && minorVersion == 0 else { throw MessageError.malformed }
    guard hosts.allSatisfy({ $0.isEmpty || isAuthority(Array($0.utf8)[...]) }) else { throw MessageError.malformed }
}

/// `host`, `host:port` or `[::1]:port`, without the `user@` that it may have elsewhere (RFC 9110 section 7.2).
func isAuthority(_ bytes: ArraySlice<UInt8>) -> Bool {
    let isLiteral = bytes.first == UInt8(ascii: "[")
    let host: ArraySlice<UInt8>
    if isLiteral {
        guard let end = bytes.firstIndex(of: UInt8(ascii: "]")) else { return false }
        host = bytes[bytes.startIndex + 1..<end]
        guard !host.isEmpty,
            host.allSatisfy({ hexDigit($0) != nil || $0 == UInt8(ascii: ":") || $0 == UInt8(ascii: ".") })
        else { return false }
        if end + 1 == bytes.endIndex { return true }
    } else {
        host = bytes.prefix { $0 != UInt8(ascii: ":") }
        guard !host.isEmpty, host.allSatisfy(isHostByte) else { return false }
        if host.count == bytes.count { return true }
    }
    let rest = bytes[(isLiteral ? host.endIndex + 1 : host.endIndex)...]
    return rest.first == UInt8(ascii: ":") && rest.count <= 6
        && rest.dropFirst().allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
}

/// RFC 3986 section 3.2.2: letters, digits, `-._~`, and what it lets names have besides.
private func isHostByte(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "("), UInt8(ascii: ")"), UInt8(ascii: ","), UInt8(ascii: ";"), UInt8(ascii: "="): return true
    case UInt8(ascii: "#"), UInt8(ascii: "^"), UInt8(ascii: "`"), UInt8(ascii: "|"): return false
    default: return isTokenByte(byte)
    }
}
