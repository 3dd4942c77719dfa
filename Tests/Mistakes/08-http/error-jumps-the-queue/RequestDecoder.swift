import Course

// The work is done in `feed`: each byte moves a state machine, which puts events into a row. `next` only takes them out.
struct HTTPRequestDecoder: RequestDecoder {
    let limits: RequestLimits

    private enum Phase {
        case requestLine, fieldLine
        case counted, chunkSize, chunkBytes, chunkEnd, trailerLine
        case refused
    }

    private var phase = Phase.requestLine

    // The line that is being read, without its end.
    private var line: [UInt8] = []
    private var hasReturn = false

    // The request that is being read.
    private var method = ""
    private var target = ""
    private var minorVersion = 0
    private var fields: [HTTPField] = []
    private var fieldCount = 0
    private var fieldBytes = 0
    private var left = 0
    private var allowance = 0
    private var extensionBytes = 0

    // What has come out, and how much of it was taken.
    private var row: [RequestEvent] = []
    private var taken = 0
    private var piece: [UInt8] = []
    private var refusal: RequestRefused?

    init(limits: RequestLimits) {
        self.limits = limits
    }

    var isInHead: Bool {
        switch phase {
        case .requestLine: return !line.isEmpty || hasReturn
        case .fieldLine: return true
        default: return false
        }
    }

    var isInBody: Bool {
        switch phase {
        case .requestLine, .fieldLine, .refused: return false
        default: return true
        }
    }

    mutating func next() throws -> RequestEvent? {
        // What has been refused is not read any further.
        if let refusal { throw refusal }
        guard taken < row.count else {
            row.removeAll(keepingCapacity: taken < 100)
            taken = 0
            return nil
        }
        defer { taken += 1 }
        return row[taken]
    }

    mutating func feed(_ bytes: [UInt8]) { feed(bytes[...]) }

    mutating func feed(_ bytes: ArraySlice<UInt8>) {
        do {
            try bytes.withUnsafeBufferPointer { try digest($0) }
        } catch {
            refusal = error as? RequestRefused ?? RequestRefused(status: 400)
            phase = .refused
        }
        putPiece()
    }

    private mutating func digest(_ bytes: UnsafeBufferPointer<UInt8>) throws {
        var index = 0
        while index < bytes.count {
            switch phase {
            case .refused:
                return
            case .counted, .chunkBytes:
                let count = min(left, bytes.count - index)
                piece.append(contentsOf: UnsafeBufferPointer(rebasing: bytes[index..<index + count]))
                index += count
                left -= count
                if left == 0 {
                    if phase == .counted { endRequest() } else { phase = .chunkEnd }
                }
            default:
                try step(bytes[index])
                index += 1
            }
        }
    }

    // MARK: Lines

    private mutating func step(_ byte: UInt8) throws {
        if hasReturn {
            guard byte == 10 else { throw RequestRefused(status: 400) }
            hasReturn = false
            try endLine()
            line.removeAll(keepingCapacity: true)
            return
        }
        if byte == 13 {
            hasReturn = true
            return
        }
        if byte == 10 { throw RequestRefused(status: 400) }
        line.append(byte)
        switch phase {
        case .requestLine:
            if line.count > limits.line { throw RequestRefused(status: 414) }
        case .fieldLine, .trailerLine:
            if fieldBytes + line.count + 2 > limits.head { throw RequestRefused(status: 431) }
        case .chunkSize:
            if line.count > 2048 { throw RequestRefused(status: 400) }
        default:
            // Behind the bytes of a chunk.
            throw RequestRefused(status: 400)
        }
    }

    private mutating func endLine() throws {
        switch phase {
        case .requestLine:
            // An empty line in front of a request may be passed over.
            if line.isEmpty { return }
            try readRequestLine()
            startFields()
            phase = .fieldLine
        case .fieldLine:
            if line.isEmpty { return try endHead() }
            fields.append(try readField())
        case .trailerLine:
            if line.isEmpty { return endRequest() }
            _ = try readField()
        case .chunkSize:
            try readChunkSize()
        default:
            phase = .chunkSize
        }
    }

    private mutating func startFields() {
        fields = []
        fieldCount = 0
        fieldBytes = 0
    }

    private mutating func readField() throws -> HTTPField {
        fieldCount += 1
        fieldBytes += line.count + 2
        if fieldCount > limits.fields { throw RequestRefused(status: 431) }
        do {
            return try parseField(line[...])
        } catch {
            throw RequestRefused(status: 400)
        }
    }

    private mutating func readRequestLine() throws {
        var words: [[UInt8]] = [[]]
        for byte in line {
            if byte == 32 { words.append([]) } else { words[words.count - 1].append(byte) }
        }
        guard words.count == 3 else { throw RequestRefused(status: 400) }
        guard !words[0].isEmpty && words[0].allSatisfy(isTokenByte) else { throw RequestRefused(status: 400) }
        method = String(decoding: words[0], as: UTF8.self)
        do {
            minorVersion = try parseVersion(words[2][...])
        } catch MessageError.unknownVersion {
            throw RequestRefused(status: 505)
        } catch {
            throw RequestRefused(status: 400)
        }
        guard Target(words[1]).isGood(for: method) else { throw RequestRefused(status: 400) }
        target = String(decoding: words[1], as: UTF8.self)
    }

    private mutating func endHead() throws {
        var hosts: [String] = []
        var lengths: [String] = []
        var codings: [String]?
        for field in fields {
            switch field.name.lowercased() {
            case "host": hosts.append(field.value)
            case "content-length": lengths.append(field.value)
            case "transfer-encoding":
                codings = fields.elements("Transfer-Encoding")
            default: break
            }
        }

        if hosts.count > 1 || hosts.isEmpty && minorVersion > 0 { throw RequestRefused(status: 400) }
        if let host = hosts.first, !host.isEmpty, !isAuthority(Array(host.utf8)[...]) {
            throw RequestRefused(status: 400)
        }

        extensionBytes = 0
        allowance = limits.body
        if let codings {
            if !lengths.isEmpty || minorVersion == 0 { throw RequestRefused(status: 400) }
            if codings.last != "chunked" { throw RequestRefused(status: 400) }
            if codings.dropLast().contains("chunked") { throw RequestRefused(status: 400) }
            if codings.count > 1 { throw RequestRefused(status: 501) }
            putHead()
            phase = .chunkSize
            return
        }
        if lengths.count > 1 { throw RequestRefused(status: 400) }
        var length = 0
        if let text = lengths.first {
            let digits = Array(text.utf8)
            if digits.isEmpty || !digits.allSatisfy({ $0 >= 48 && $0 <= 57 }) { throw RequestRefused(status: 400) }
            for digit in digits {
                // Stops long before it could grow over an Int.
                if length > limits.body || length > Int.max / 10 - 1 { throw RequestRefused(status: 413) }
                length = length * 10 + Int(digit - 48)
            }
            if length > limits.body { throw RequestRefused(status: 413) }
        }
        putHead()
        if length == 0 {
            endRequest()
        } else {
            left = length
            phase = .counted
        }
    }

    private mutating func readChunkSize() throws {
        var size = 0
        var isTooLarge = false
        var digits = 0
        for byte in line {
            guard let value = hexDigit(byte) else { break }
            digits += 1
            if size > Int.max / 16 - 1 { isTooLarge = true } else { size = size * 16 + Int(value) }
            if size > allowance { isTooLarge = true }
        }
        if digits == 0 { throw RequestRefused(status: 400) }
        let rest = line[digits...]
        if !rest.isEmpty {
            let visible = rest.drop { $0 == 32 || $0 == 9 }
            if visible.first != UInt8(ascii: ";") { throw RequestRefused(status: 400) }
            for byte in visible where byte < 32 && byte != 9 || byte == 127 { throw RequestRefused(status: 400) }
            extensionBytes += rest.count
            if extensionBytes > limits.head { throw RequestRefused(status: 400) }
        }
        if isTooLarge { throw RequestRefused(status: 413) }
        allowance -= size
        if size > 0 {
            left = size
            phase = .chunkBytes
        } else {
            startFields()
            phase = .trailerLine
        }
    }

    // MARK: Events

    private mutating func putPiece() {
        if piece.isEmpty { return }
        row.append(.body(piece))
        piece = []
    }

    private mutating func putHead() {
        row.append(.head(RequestHead(method: method, target: target, minorVersion: minorVersion, fields: fields)))
        fields = []
    }

    private mutating func endRequest() {
        putPiece()
        row.append(.end)
        phase = .requestLine
    }
}

private struct Target {
    let bytes: [UInt8]

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    func isGood(for method: String) -> Bool {
        if bytes.isEmpty { return false }
        for byte in bytes where byte <= 32 || byte >= 127 || byte == UInt8(ascii: "#") { return false }
        if method == "CONNECT" {
            guard let colon = bytes.lastIndex(of: UInt8(ascii: ":")), colon > 0, colon < bytes.count - 1 else {
                return false
            }
            return isAuthority(bytes[...])
        }
        if bytes[0] == UInt8(ascii: "/") { return true }
        if bytes == [UInt8(ascii: "*")] { return method == "OPTIONS" }
        let scheme = Array("http://".utf8)
        guard bytes.prefix(7).map(lowercase) == scheme else { return false }
        let authority = bytes[7...].prefix { $0 != UInt8(ascii: "/") && $0 != UInt8(ascii: "?") }
        return isAuthority(authority)
    }
}

/// `HTTP/1.1`.
///
/// - Returns: the minor version.
func parseVersion(_ bytes: ArraySlice<UInt8>) throws -> Int {
    let text = Array(bytes)
    guard text.count == 8, text.starts(with: "HTTP/".utf8), text[6] == 46 else { throw MessageError.malformed }
    guard text[5] >= 48, text[5] <= 57, text[7] >= 48, text[7] <= 57 else { throw MessageError.malformed }
    if text[5] != 49 { throw MessageError.unknownVersion }
    return Int(text[7]) - 48
}

/// `host`, `host:port`, `[::1]`, `[::1]:port`.
func isAuthority(_ bytes: ArraySlice<UInt8>) -> Bool {
    var rest = bytes
    if rest.first == UInt8(ascii: "[") {
        guard let end = rest.firstIndex(of: UInt8(ascii: "]")) else { return false }
        let address = rest[(rest.startIndex + 1)..<end]
        if address.isEmpty { return false }
        for byte in address where hexDigit(byte) == nil && byte != UInt8(ascii: ":") && byte != UInt8(ascii: ".") {
            return false
        }
        rest = rest[(end + 1)...]
    } else {
        let name = rest.prefix { $0 != UInt8(ascii: ":") }
        if name.isEmpty { return false }
        for byte in name {
            let isSubDelimiter = "(),;=".utf8.contains(byte)
            let isOther = "#^`|".utf8.contains(byte)
            if isOther || !isSubDelimiter && !isTokenByte(byte) { return false }
        }
        rest = rest[name.endIndex...]
    }
    guard let colon = rest.popFirst() else { return true }
    return colon == UInt8(ascii: ":") && rest.count <= 5 && rest.allSatisfy { $0 >= 48 && $0 <= 57 }
}
