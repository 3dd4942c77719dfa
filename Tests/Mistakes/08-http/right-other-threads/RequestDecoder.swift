// A machine that eats one byte after the other while it is in a line, and whole stretches while it is in a body.
import Course

struct HTTPRequestDecoder: RequestDecoder {
    let limits: RequestLimits

    private enum Phase {
        case requestLine
        case headField
        case counted(Int)
        case sizeLine
        case inChunk(Int)
        case behindChunk
        case trailer
        case done
    }

    private var phase = Phase.requestLine
    private var input: [UInt8] = []
    private var position = 0
    /// The line that is being collected, without its end.
    private var line: [UInt8] = []
    private var sawReturn = false

    private var head = RequestHead(method: "", target: "", minorVersion: 1, fields: [])
    private var fieldCount = 0
    private var fieldBytes = 0
    private var bodyLeft = 0
    private var extensionBytes = 0

    init(limits: RequestLimits) { self.limits = limits }

    mutating func feed(_ bytes: [UInt8]) { feed(bytes[...]) }

    mutating func feed(_ bytes: ArraySlice<UInt8>) {
        if position > 0 {
            input.removeFirst(position)
            position = 0
        }
        input.append(contentsOf: bytes)
    }

    var isInHead: Bool {
        switch phase {
        case .requestLine: return !line.isEmpty || sawReturn || position < input.count
        case .headField: return true
        default: return false
        }
    }

    var isInBody: Bool {
        switch phase {
        case .requestLine, .headField: return false
        default: return true
        }
    }

    mutating func next() throws -> RequestEvent? {
        while true {
            switch phase {
            case .done:
                phase = .requestLine
                return .end
            case .counted(let left):
                guard let piece = piece(atMost: left) else { return nil }
                phase = piece.count == left ? .done : .counted(left - piece.count)
                return .body(piece)
            case .inChunk(let left):
                guard let piece = piece(atMost: left) else { return nil }
                phase = piece.count == left ? .behindChunk : .inChunk(left - piece.count)
                return .body(piece)
            case .requestLine:
                guard try collect(atMost: limits.line, else: 414) else { return nil }
                defer { line.removeAll(keepingCapacity: true) }
                if line.isEmpty { continue }
                head = try parsedRequestLine(line)
                (fieldCount, fieldBytes) = (0, 0)
                phase = .headField
            case .headField:
                guard try collect(atMost: max(0, limits.head - fieldBytes - 2), else: 431) else { return nil }
                defer { line.removeAll(keepingCapacity: true) }
                if line.isEmpty {
                    try beginBody()
                    return .head(head)
                }
                head.fields.append(try countedField())
            case .trailer:
                guard try collect(atMost: max(0, limits.head - fieldBytes - 2), else: 431) else { return nil }
                defer { line.removeAll(keepingCapacity: true) }
                if line.isEmpty {
                    phase = .done
                } else {
                    _ = try countedField()
                }
            case .sizeLine:
                guard try collect(atMost: 1000, else: 400) else { return nil }
                defer { line.removeAll(keepingCapacity: true) }
                let size = try chunkSize()
                guard size <= bodyLeft else { throw RequestRefused(status: 413) }
                bodyLeft -= size
                (fieldCount, fieldBytes) = (0, 0)
                phase = size == 0 ? .trailer : .inChunk(size)
            case .behindChunk:
                guard try collect(atMost: 0, else: 400) else { return nil }
                phase = .sizeLine
            }
        }
    }

    // MARK: Bytes

    /// - Returns: whether `line` is complete now.
    private mutating func collect(atMost limit: Int, else status: Int) throws -> Bool {
        while position < input.count {
            let byte = input[position]
            position += 1
            if sawReturn {
                guard byte == 10 else { throw RequestRefused(status: 400) }
                sawReturn = false
                return true
            }
            if byte == 13 {
                sawReturn = true
            } else if byte == 10 {
                throw RequestRefused(status: 400)
            } else {
                guard line.count < limit else { throw RequestRefused(status: status) }
                line.append(byte)
            }
        }
        return false
    }

    private mutating func piece(atMost most: Int) -> [UInt8]? {
        let end = min(input.count, position + min(most, input.count))
        guard end > position else { return nil }
        defer { position = end }
        return Array(input[position..<end])
    }

    // MARK: Meaning

    private mutating func countedField() throws -> HTTPField {
        fieldCount += 1
        guard fieldCount <= limits.fields else { throw RequestRefused(status: 431) }
        fieldBytes += line.count + 2
        guard let colon = line.firstIndex(of: UInt8(ascii: ":")), colon > 0, line[..<colon].allSatisfy(isTokenByte)
        else {
            throw RequestRefused(status: 400)
        }
        var first = colon + 1
        var last = line.count
        while first < last, line[first] == 32 || line[first] == 9 { first += 1 }
        while last > first, line[last - 1] == 32 || line[last - 1] == 9 { last -= 1 }
        for byte in line[first..<last] where byte < 32 && byte != 9 || byte == 127 { throw RequestRefused(status: 400) }
        return HTTPField(
            String(decoding: line[..<colon], as: UTF8.self), String(decoding: line[first..<last], as: UTF8.self))
    }

    private mutating func beginBody() throws {
        var hosts: [String] = []
        var lengths: [String] = []
        var codings: [String] = []
        var isCoded = false
        for field in head.fields {
            switch field.name.lowercased() {
            case "host": hosts.append(field.value)
            case "content-length": lengths.append(field.value)
            case "transfer-encoding":
                isCoded = true
                for part in field.value.split(separator: ",") {
                    let word = part.drop { $0 == " " || $0 == "\t" }.reversed().drop { $0 == " " || $0 == "\t" }
                    if !word.isEmpty { codings.append(String(word.reversed()).lowercased()) }
                }
            default: break
            }
        }
        guard hosts.count == 1 || hosts.isEmpty && head.minorVersion == 0 else { throw RequestRefused(status: 400) }
        if let host = hosts.first, !host.isEmpty, !isHostAndPort(Array(host.utf8)) { throw RequestRefused(status: 400) }

        if isCoded {
            guard lengths.isEmpty, head.minorVersion > 0, codings.last == "chunked",
                codings.firstIndex(of: "chunked") == codings.count - 1
            else { throw RequestRefused(status: 400) }
            guard codings.count == 1 else { throw RequestRefused(status: 501) }
            (bodyLeft, extensionBytes) = (limits.body, 0)
            phase = .sizeLine
        } else if let length = lengths.first {
            guard lengths.count == 1, !length.isEmpty, length.utf8.allSatisfy({ $0 >= 48 && $0 <= 57 }) else {
                throw RequestRefused(status: 400)
            }
            guard let count = Int(length), count <= limits.body else { throw RequestRefused(status: 413) }
            phase = count == 0 ? .done : .counted(count)
        } else {
            phase = .done
        }
    }

    private mutating func chunkSize() throws -> Int {
        var size = 0
        var index = 0
        while index < line.count, let digit = hexDigit(line[index]) {
            // More than a body may ever have: it does not matter by how much.
            size = min(size << 4 | Int(digit), Int.max >> 8)
            index += 1
        }
        guard index > 0 else { throw RequestRefused(status: 400) }
        extensionBytes += line.count - index
        guard extensionBytes <= limits.head else { throw RequestRefused(status: 400) }
        if index < line.count {
            var next = index
            while next < line.count, line[next] == 32 || line[next] == 9 { next += 1 }
            guard next < line.count, line[next] == UInt8(ascii: ";") else { throw RequestRefused(status: 400) }
            for byte in line[next...] where byte < 32 && byte != 9 || byte == 127 { throw RequestRefused(status: 400) }
        }
        return size
    }
}

private func parsedRequestLine(_ line: [UInt8]) throws -> RequestHead {
    let bad = RequestRefused(status: 400)
    guard let first = line.firstIndex(of: 32), let last = line.lastIndex(of: 32), last > first else { throw bad }
    let (method, target, version) = (line[..<first], line[(first + 1)..<last], line[(last + 1)...])
    guard !method.isEmpty, method.allSatisfy(isTokenByte) else { throw bad }
    let minor: Int
    do { minor = try parseVersion(version) } catch MessageError.unknownVersion {
        throw RequestRefused(status: 505)
    } catch {
        throw bad
    }
    let verb = String(decoding: method, as: UTF8.self)
    guard !target.isEmpty, target.allSatisfy({ $0 > 32 && $0 < 127 && $0 != UInt8(ascii: "#") }) else { throw bad }
    let text = String(decoding: target, as: UTF8.self)
    let isFine: Bool
    if verb == "CONNECT" {
        isFine = isHostAndPort(Array(target), needsPort: true)
    } else if text == "*" {
        isFine = verb == "OPTIONS"
    } else if text.hasPrefix("/") {
        isFine = true
    } else {
        let authority = text.dropFirst(7).prefix { $0 != "/" && $0 != "?" }
        isFine = text.lowercased().hasPrefix("http://") && isHostAndPort(Array(authority.utf8))
    }
    guard isFine else { throw bad }
    return RequestHead(method: verb, target: text, minorVersion: minor, fields: [])
}

/// `HTTP/1.1`. Also asked by the reader of responses.
func parseVersion(_ bytes: ArraySlice<UInt8>) throws -> Int {
    let version = Array(bytes)
    guard version.count == 8, version.starts(with: Array("HTTP/".utf8)), version[6] == UInt8(ascii: "."),
        (48...57).contains(version[5]), (48...57).contains(version[7])
    else { throw MessageError.malformed }
    guard version[5] == UInt8(ascii: "1") else { throw MessageError.unknownVersion }
    return Int(version[7]) - 48
}

private func isHostAndPort(_ bytes: [UInt8], needsPort: Bool = false) -> Bool {
    var end = 0
    if bytes.first == UInt8(ascii: "[") {
        guard let bracket = bytes.firstIndex(of: UInt8(ascii: "]")), bracket > 1 else { return false }
        for byte in bytes[1..<bracket] where hexDigit(byte) == nil && byte != 58 && byte != 46 { return false }
        end = bracket + 1
    } else {
        let extra = Array("-._~!$&'()*+,;=%".utf8)
        while end < bytes.count {
            let byte = bytes[end]
            let isLetter = (65...90).contains(lowercase(byte) &- 32)
            guard isLetter || (48...57).contains(byte) || extra.contains(byte) else { break }
            end += 1
        }
        if end == 0 { return false }
    }
    if end == bytes.count { return !needsPort }
    let port = bytes[(end + 1)...]
    return bytes[end] == UInt8(ascii: ":") && port.count <= 5 && port.allSatisfy { (48...57).contains($0) }
        && (!needsPort || !port.isEmpty)
}
