// A push parser: feed looks at each byte once and queues what it means; next takes from the queue.
import Course
import Sockets

struct HTTPRequestDecoder: RequestDecoder {
    let limits: RequestLimits

    private enum Expecting {
        case requestLine, field, body, chunkSize, chunkBytes, chunkEnd, trailer
    }

    private var expecting = Expecting.requestLine
    private var line: [UInt8] = []
    private var carriageReturn = false
    private var headBytes = 0
    private var fieldCount = 0
    private var bytesLeft = 0
    private var bodyBytes = 0
    private var head = RequestHead(method: "", target: "", minorVersion: 1, fields: [])
    private var queue: [RequestEvent] = []
    private var taken = 0
    private var refusal: RequestRefused?

    init(limits: RequestLimits) {
        self.limits = limits
    }

    mutating func next() throws -> RequestEvent? {
        if taken < queue.count {
            taken += 1
            return queue[taken - 1]
        }
        queue.removeAll(keepingCapacity: true)
        taken = 0
        if let refusal { throw refusal }
        return nil
    }

    mutating func feed(_ bytes: [UInt8]) {
        guard refusal == nil else { return }
        do {
            var i = 0
            while i < bytes.count {
                switch expecting {
                case .body, .chunkBytes:
                    let n = min(bytesLeft, bytes.count - i)
                    queue.append(.body(Array(bytes[i..<i + n])))
                    i += n
                    bytesLeft -= n
                    if bytesLeft == 0 {
                        if expecting == .body { endOfRequest() } else { expecting = .chunkEnd }
                    }
                default:
                    try take(bytes[i])
                    i += 1
                }
            }
        } catch {
            refusal = error as? RequestRefused ?? RequestRefused(status: 400)
            line = []
        }
    }

    private mutating func take(_ byte: UInt8) throws {
        if carriageReturn {
            guard byte == 10 else { throw RequestRefused(status: 400) }
            carriageReturn = false
            let complete = line
            line.removeAll(keepingCapacity: true)
            try take(line: complete)
        } else if byte == 13 {
            carriageReturn = true
        } else if byte < 32 && byte != 9 || byte == 127 {
            throw RequestRefused(status: 400)
        } else {
            switch expecting {
            case .requestLine:
                if line.count == limits.line { throw RequestRefused(status: 414) }
            case .field, .trailer:
                if line.isEmpty {
                    fieldCount += 1
                    headBytes += 2
                }
                headBytes += 1
                if headBytes > limits.head || fieldCount > limits.fields { throw RequestRefused(status: 431) }
            case .chunkSize:
                if line.count == 2000 { throw RequestRefused(status: 400) }
            default:
                throw RequestRefused(status: 400)
            }
            line.append(byte)
        }
    }

    private mutating func take(line: [UInt8]) throws {
        switch expecting {
        case .requestLine:
            try requestLine(line)
            expecting = .field
            (headBytes, fieldCount) = (0, 0)
        case .field:
            if line.isEmpty { try endOfHead() } else { head.fields.append(try field(line)) }
        case .trailer:
            if line.isEmpty { endOfRequest() } else { _ = try field(line) }
        case .chunkSize:
            try chunkSize(line)
        case .chunkEnd:
            guard line.isEmpty else { throw RequestRefused(status: 400) }
            expecting = .chunkSize
        case .body, .chunkBytes:
            break
        }
    }

    private mutating func endOfRequest() {
        queue.append(.end)
        expecting = .requestLine
        (bodyBytes, bytesLeft) = (0, 0)
    }

    private mutating func requestLine(_ line: [UInt8]) throws {
        let parts = line.split(separator: 32, omittingEmptySubsequences: false).map { Array($0) }
        guard parts.count == 3 else { throw RequestRefused(status: 400) }
        let (method, target, version) = (parts[0], parts[1], parts[2])
        guard version.count == 8, version.starts(with: Array("HTTP/".utf8)), version[6] == 46,
            (48...57).contains(version[5]), (48...57).contains(version[7])
        else { throw RequestRefused(status: 400) }
        guard version[5] == 49 else { throw RequestRefused(status: 505) }
        guard isToken(method), target.allSatisfy({ $0 > 32 && $0 < 127 }) else { throw RequestRefused(status: 400) }
        let name = String(decoding: method, as: UTF8.self)
        let text = String(decoding: target, as: UTF8.self)
        let fits: Bool
        if name == "CONNECT" {
            fits = isHost(text, portNeeded: true)
        } else if text == "*" {
            fits = name == "OPTIONS"
        } else if text.lowercased().hasPrefix("http://") {
            let rest = text.dropFirst(7)
            fits = isHost(String(rest.prefix { $0 != "/" && $0 != "?" }), portNeeded: false)
        } else {
            fits = target.first == 47
        }
        guard fits else { throw RequestRefused(status: 400) }
        head = RequestHead(method: name, target: text, minorVersion: Int(version[7]) - 48, fields: [])
    }

    private func field(_ line: [UInt8]) throws -> HTTPField {
        guard let colon = line.firstIndex(of: 58), isToken(Array(line[..<colon])) else {
            throw RequestRefused(status: 400)
        }
        var value = line[(colon + 1)...]
        while let first = value.first, first == 32 || first == 9 { value = value.dropFirst() }
        while let last = value.last, last == 32 || last == 9 { value = value.dropLast() }
        return HTTPField(String(decoding: line[..<colon], as: UTF8.self), String(decoding: value, as: UTF8.self))
    }

    private mutating func endOfHead() throws {
        func values(_ name: String) -> [String] {
            head.fields.filter { $0.name.lowercased() == name }.map(\.value)
        }
        let hosts = values("host")
        guard hosts.count == 1 || hosts.isEmpty && head.minorVersion == 0 else { throw RequestRefused(status: 400) }
        if let host = hosts.first, !isHost(host, portNeeded: false) { throw RequestRefused(status: 400) }

        let lengths = values("content-length")
        let codings = values("transfer-encoding")
        if !codings.isEmpty {
            guard lengths.isEmpty, head.minorVersion > 0 else { throw RequestRefused(status: 400) }
            let names = codings.joined(separator: ",").split(separator: ",", omittingEmptySubsequences: false).map {
                $0.filter { $0 != " " && $0 != "\t" }.lowercased()
            }
            if names != ["chunked"] { throw RequestRefused(status: names.dropLast().contains("chunked") ? 400 : 501) }
            queue.append(.head(head))
            expecting = .chunkSize
            return
        }
        guard lengths.count <= 1 else { throw RequestRefused(status: 400) }
        if let text = lengths.first {
            guard !text.isEmpty, text.utf8.allSatisfy({ (48...57).contains($0) }) else {
                throw RequestRefused(status: 400)
            }
            guard let length = Int(text), length <= limits.body else { throw RequestRefused(status: 413) }
            bytesLeft = length
        }
        queue.append(.head(head))
        if bytesLeft > 0 { expecting = .body } else { endOfRequest() }
    }

    private mutating func chunkSize(_ line: [UInt8]) throws {
        var digits = line.prefix { $0 != 59 }
        while digits.count < line.count, let last = digits.last, last == 32 || last == 9 { digits.removeLast() }
        guard !digits.isEmpty else { throw RequestRefused(status: 400) }
        var size = 0
        for digit in digits {
            guard let value = Character(UnicodeScalar(digit)).hexDigitValue else { throw RequestRefused(status: 400) }
            size = min(size * 16 + value, Int.max >> 8)
        }
        guard size <= limits.body - bodyBytes else { throw RequestRefused(status: 413) }
        if size == 0 {
            expecting = .trailer
            (headBytes, fieldCount) = (0, 0)
        } else {
            bodyBytes += size
            bytesLeft = size
            expecting = .chunkBytes
        }
    }
}

private func isToken(_ bytes: [UInt8]) -> Bool {
    !bytes.isEmpty
        && bytes.allSatisfy { byte in
            switch byte {
            case 48...57, 65...90, 97...122: return true
            default: return "!#$%&'*+-.^_`|~".utf8.contains(byte)
            }
        }
}

/// `name`, `1.2.3.4`, `[::1]`, with or without `:port`.
private func isHost(_ text: String, portNeeded: Bool) -> Bool {
    var rest = Array(text.utf8)[...]
    if rest.first == 91 {
        guard let end = rest.firstIndex(of: 93) else { return false }
        var address = in6_addr()
        guard inet_pton(AF_INET6, String(decoding: rest[1..<end], as: UTF8.self), &address) == 1 else { return false }
        rest = rest[(end + 1)...]
    } else {
        let name = rest.prefix { $0 != 58 }
        guard !name.isEmpty, name.allSatisfy({ $0 == 37 || isToken([$0]) || "(),;=".utf8.contains($0) }) else {
            return false
        }
        rest = rest.dropFirst(name.count)
    }
    guard rest.first == 58 else { return rest.isEmpty && !portNeeded }
    let port = rest.dropFirst()
    return !port.isEmpty && port.allSatisfy { (48...57).contains($0) }
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
