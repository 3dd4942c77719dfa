import Course

/// A cursor over the bytes, and a list of small steps. Each step either needs more bytes (nil) or moves on.
struct HTTPRequestDecoder: RequestDecoder {
    private let limits: RequestLimits
    private var pool: [UInt8] = []
    private var cursor = 0
    private var scanned = 0
    private var step = Step.greeting
    private var draft = RequestHead(method: "", target: "", minorVersion: 1, fields: [])
    /// What may still come.
    private var headBytesLeft: Int
    private var fieldsLeft: Int
    private var bodyLeft: Int
    private var noiseLeft: Int

    private enum Step {
        case greeting
        case headField
        case plain(Int)
        case size
        case chunk(Int)
        case afterChunk
        case trailer
        case done
    }

    init(limits: RequestLimits) {
        self.limits = limits
        headBytesLeft = limits.head
        fieldsLeft = limits.fields
        bodyLeft = limits.body
        noiseLeft = limits.head
    }

    mutating func feed(_ bytes: [UInt8]) { feed(bytes[...]) }

    mutating func feed(_ bytes: ArraySlice<UInt8>) {
        pool.removeFirst(cursor)
        scanned -= cursor
        cursor = 0
        pool.append(contentsOf: bytes)
    }

    var isInBody: Bool {
        switch step {
        case .greeting, .headField: return false
        default: return true
        }
    }

    var isInHead: Bool {
        switch step {
        case .greeting: return cursor < pool.count
        case .headField: return true
        default: return false
        }
    }

    mutating func next() throws -> RequestEvent? {
        while true {
            switch step {
            case .greeting:
                guard let line = try cutLine(max: limits.line, tooLong: 414) else { return nil }
                if line.isEmpty { continue }
                try readGreeting(line)
                headBytesLeft = limits.head
                bodyLeft = limits.body
                noiseLeft = limits.head
                step = .headField
            case .headField:
                guard let line = try cutLine(max: max(0, headBytesLeft - 2), tooLong: 431) else { return nil }
                if line.isEmpty {
                    try requireHost()
                    step = try whatFollows()
                    return .head(draft)
                }
                draft.fields.append(try readField(line))
            case .plain(0), .done:
                step = .greeting
                return .end
            case .plain(let count):
                guard let piece = cut(count) else { return nil }
                step = .plain(count - piece.count)
                return .body(piece)
            case .size:
                guard let line = try cutLine(max: 1500, tooLong: 400) else { return nil }
                let count = try readSize(line)
                step = count == 0 ? .trailer : .chunk(count)
                if count == 0 { headBytesLeft = limits.head }
            case .chunk(0): step = .afterChunk
            case .chunk(let count):
                guard let piece = cut(count) else { return nil }
                step = .chunk(count - piece.count)
                return .body(piece)
            case .afterChunk:
                guard let line = try cutLine(max: 0, tooLong: 400) else { return nil }
                guard line.isEmpty else { throw RequestRefused(status: 400) }
                step = .size
            case .trailer:
                guard let line = try cutLine(max: max(0, headBytesLeft - 2), tooLong: 431) else { return nil }
                if line.isEmpty { step = .done } else { _ = try readField(line) }
            }
        }
    }

    // MARK: Cutting

    private mutating func cut(_ most: Int) -> [UInt8]? {
        let end = min(cursor + most, pool.count)
        if end == cursor { return nil }
        let piece = Array(pool[cursor..<end])
        cursor = end
        scanned = end
        return piece
    }

    private mutating func cutLine(max: Int, tooLong status: Int) throws -> ArraySlice<UInt8>? {
        let stop = pool[scanned...].firstIndex { $0 == 13 || $0 == 10 } ?? pool.count
        scanned = stop
        if stop - cursor > max { throw RequestRefused(status: status) }
        if stop == pool.count { return nil }
        if pool[stop] == 10 { throw RequestRefused(status: 400) }
        if stop + 1 == pool.count { return nil }
        if pool[stop + 1] != 10 { throw RequestRefused(status: 400) }
        let line = pool[cursor..<stop]
        cursor = stop + 2
        scanned = cursor
        return line
    }

    // MARK: Reading

    private mutating func readGreeting(_ line: ArraySlice<UInt8>) throws {
        let words = line.split(separator: 32, omittingEmptySubsequences: false)
        guard words.count == 3, !words[0].isEmpty, words[0].allSatisfy(isTokenByte) else {
            throw RequestRefused(status: 400)
        }
        do { draft.minorVersion = try parseVersion(words[2]) } catch MessageError.unknownVersion {
            throw RequestRefused(status: 505)
        } catch { throw RequestRefused(status: 400) }
        draft.method = String(decoding: words[0], as: UTF8.self)
        draft.target = String(decoding: words[1], as: UTF8.self)
        draft.fields = []
        guard !words[1].isEmpty, words[1].allSatisfy({ (33...126).contains($0) && $0 != 35 }), targetFits() else {
            throw RequestRefused(status: 400)
        }
    }

    private func targetFits() -> Bool {
        let target = Array(draft.target.utf8)
        if draft.method == "CONNECT" {
            let port = target.split(separator: 58, omittingEmptySubsequences: false).last ?? []
            return !port.isEmpty && port.count + 1 < target.count && isAuthority(target[...])
        }
        if target[0] == 47 { return true }
        if target == [42] { return draft.method == "OPTIONS" }
        guard draft.target.lowercased().hasPrefix("http://") else { return false }
        let site = target[7...].prefix { $0 != 47 && $0 != 63 }
        return !site.isEmpty && isAuthority(site)
    }

    private mutating func readField(_ line: ArraySlice<UInt8>) throws -> HTTPField {
        headBytesLeft -= line.count + 2
        fieldsLeft -= 1
        guard fieldsLeft >= 0 else { throw RequestRefused(status: 431) }
        do { return try parseField(line) } catch { throw RequestRefused(status: 400) }
    }

    private func requireHost() throws {
        let hosts = draft.fields.values("host")
        let isEnough = hosts.count == 1 || hosts.isEmpty && draft.minorVersion == 0
        guard isEnough, hosts.allSatisfy({ $0.isEmpty || isAuthority(Array($0.utf8)[...]) }) else {
            throw RequestRefused(status: 400)
        }
    }

    private func whatFollows() throws -> Step {
        let lengths = draft.fields.values("content-length")
        if !draft.fields.values("transfer-encoding").isEmpty {
            let words = draft.fields.elements("transfer-encoding")
            guard lengths.isEmpty, draft.minorVersion > 0, words.filter({ $0 == "chunked" }).count == 1,
                words.last == "chunked"
            else { throw RequestRefused(status: 400) }
            guard words.count == 1 else { throw RequestRefused(status: 501) }
            return .size
        }
        guard let text = lengths.first else { return .plain(0) }
        guard lengths.count == 1, !text.isEmpty, text.utf8.allSatisfy({ (48...57).contains($0) }) else {
            throw RequestRefused(status: 400)
        }
        guard let count = Int(text), count <= limits.body else { throw RequestRefused(status: 413) }
        return .plain(count)
    }

    private mutating func readSize(_ line: ArraySlice<UInt8>) throws -> Int {
        let digits = line.prefix { hexDigit($0) != nil }
        let rest = line.dropFirst(digits.count)
        let mark = rest.first { $0 != 32 && $0 != 9 }
        guard !digits.isEmpty, rest.isEmpty || mark == 59, rest.allSatisfy({ $0 == 9 || $0 > 31 && $0 != 127 }) else {
            throw RequestRefused(status: 400)
        }
        noiseLeft -= rest.count
        if noiseLeft < 0 { throw RequestRefused(status: 400) }
        var size = 0
        for digit in digits {
            size = size << 4 | Int(hexDigit(digit) ?? 0)
            if size > bodyLeft { throw RequestRefused(status: 413) }
        }
        bodyLeft -= size
        return size
    }
}

func parseVersion(_ bytes: ArraySlice<UInt8>) throws -> Int {
    let text = Array(bytes)
    let isDigit = { (byte: UInt8) in (48...57).contains(byte) }
    guard text.count == 8, text.starts(with: "HTTP/".utf8), isDigit(text[5]), text[6] == 46, isDigit(text[7]) else {
        throw MessageError.malformed
    }
    if text[5] != 49 { throw MessageError.unknownVersion }
    return Int(text[7] - 48)
}

func isAuthority(_ bytes: ArraySlice<UInt8>) -> Bool {
    var rest = bytes
    if rest.first == 91 {
        let inner = rest.dropFirst().prefix { hexDigit($0) != nil || $0 == 58 || $0 == 46 }
        guard !inner.isEmpty, inner.endIndex < rest.endIndex, rest[inner.endIndex] == 93 else { return false }
        rest = rest[(inner.endIndex + 1)...]
    } else {
        let name = rest.prefix { isTokenByte($0) && !"#^`|".utf8.contains($0) || "(),;=".utf8.contains($0) }
        guard !name.isEmpty else { return false }
        rest = rest[name.endIndex...]
    }
    guard let colon = rest.popFirst() else { return true }
    return colon == 58 && rest.count <= 5 && rest.allSatisfy { (48...57).contains($0) }
}
