// What requests and responses have in common: lines, fields, bodies. No sockets here. What a start line means, and how
// long a body is, is for those who use it to say.
import Course

/// Bytes in, parts of messages out; nil always means: more bytes are needed for this part, which is no error.
struct MessageReader {
    let limits: RequestLimits

    /// What came. The bytes before `start` are used up.
    private var buffer: [UInt8] = []
    private var start = 0
    /// There is no end of a line in `buffer[start..<searched]`: a line that comes byte by byte is searched once.
    private var searched = 0

    /// The fields so far, and how many bytes they took.
    private var fields: [HTTPField] = []
    private var fieldBytes = 0

    private var body = Body.ended
    /// How much of `limits.body` is left.
    private var bodyLeft = 0
    /// What chunk sizes carry along behind a semicolon: nobody needs it, and it must not come for ever.
    private var extensionBytes = 0

    init(limits: RequestLimits) {
        self.limits = limits
    }

    mutating func feed(_ bytes: some Collection<UInt8>) {
        // Close the gap at the front here, once a chunk of the stream, and not once a line.
        if start == buffer.count {
            buffer.removeAll(keepingCapacity: true)
        } else {
            buffer.removeSubrange(..<start)
        }
        searched -= start
        start = 0
        buffer += bytes
    }

    /// Nothing has come that is not used up.
    var isEmpty: Bool { start == buffer.count }

    // MARK: Lines

    /// The first line of a message, without its end.
    mutating func startLine() throws -> ArraySlice<UInt8>? {
        try line(atMost: .max, or: .startLineTooLong).map { buffer[$0] }
    }

    /// All fields, to the empty line.
    mutating func allFields() throws -> [HTTPField]? {
        // Each line counts with its two bytes of line end; the empty one does not count.
        while let line = try line(atMost: max(0, limits.head - fieldBytes - 2), or: .fieldsTooLong) {
            if line.isEmpty {
                defer { (fields, fieldBytes) = ([], 0) }
                return fields
            }
            guard fields.count < limits.fields else { throw MessageError.fieldsTooLong }
            fields.append(try parseField(buffer[line]))
            fieldBytes += line.count + 2
        }
        return nil
    }

    /// Up to CR LF. A CR or an LF alone would end a line for some readers and not for others: refused.
    private mutating func line(atMost limit: Int, or error: MessageError) throws -> Range<Int>? {
        let end = buffer.withUnsafeBufferPointer { bytes in
            var index = searched
            while index < bytes.count && bytes[index] != carriageReturn && bytes[index] != lineFeed { index += 1 }
            return index
        }
        // Without an end this is the least that the line will be: one byte too many is enough to know.
        guard end - start <= limit else { throw error }
        searched = end
        if end < buffer.count && buffer[end] == lineFeed { throw MessageError.malformed }
        guard end + 1 < buffer.count else { return nil }
        guard buffer[end + 1] == lineFeed else { throw MessageError.malformed }
        defer {
            start = end + 2
            searched = start
        }
        return start..<end
    }

    // MARK: Bodies

    private enum Body {
        case ended
        case counted(left: Int)
        case chunkSize
        case chunk(left: Int)
        case chunkEnd
        case trailers
        case untilClose
    }

    enum Part: Equatable {
        case bytes([UInt8])
        case end
    }

    mutating func beginBody(_ framing: BodyFraming) throws {
        bodyLeft = limits.body
        extensionBytes = 0
        switch framing {
        case .length(let count):
            guard count <= limits.body else { throw MessageError.bodyTooLong }
            body = .counted(left: count)
        case .chunked: body = .chunkSize
        case .untilClose: body = .untilClose
        }
    }

    /// The next piece of the body: whatever is here of it. One `.end` after the last. A body that goes on until the
    /// connection ends has no `.end`.
    mutating func bodyPart() throws -> Part? {
        while true {
            switch body {
            case .ended: return .end
            case .counted(left: 0):
                body = .ended
                return .end
            case .counted(let left):
                guard let piece = take(atMost: left) else { return nil }
                body = .counted(left: left - piece.count)
                return .bytes(piece)
            case .chunkSize:
                guard let line = try line(atMost: mostInSizeLine, or: .malformed) else { return nil }
                let size = try chunkSize(buffer[line])
                guard size <= bodyLeft else { throw MessageError.bodyTooLong }
                bodyLeft -= size
                body = size == 0 ? .trailers : .chunk(left: size)
            case .chunk(left: 0): body = .chunkEnd
            case .chunk(let left):
                guard let piece = take(atMost: left) else { return nil }
                body = .chunk(left: left - piece.count)
                return .bytes(piece)
            case .chunkEnd:
                // Nothing may stand between the last byte of a chunk and the end of its line.
                guard try line(atMost: 0, or: .malformed) != nil else { return nil }
                body = .chunkSize
            case .trailers:
                guard try allFields() != nil else { return nil }
                body = .ended
                return .end
            case .untilClose:
                guard let piece = take(atMost: .max) else { return nil }
                guard piece.count <= bodyLeft else { throw MessageError.bodyTooLong }
                bodyLeft -= piece.count
                return .bytes(piece)
            }
        }
    }

    private mutating func take(atMost most: Int) -> [UInt8]? {
        let count = min(most, buffer.count - start)
        guard count > 0 else { return nil }
        defer {
            start += count
            searched = start
        }
        return Array(buffer[start..<start + count])
    }

    /// Hexadecimal digits, and perhaps extensions behind a semicolon, which are not used (RFC 9112 section 7.1).
    private mutating func chunkSize(_ line: ArraySlice<UInt8>) throws -> Int {
        let digits = line.prefix { hexDigit($0) != nil }
        let rest = line[digits.endIndex...].drop { $0 == 32 || $0 == 9 }
        guard !digits.isEmpty, rest.isEmpty ? digits.count == line.count : rest.first == UInt8(ascii: ";"),
            rest.allSatisfy({ $0 >= 32 && $0 != 127 || $0 == 9 })
        else { throw MessageError.malformed }
        extensionBytes += line.count - digits.count
        guard extensionBytes <= limits.head else { throw MessageError.malformed }
        // A size that no Int can hold must not wrap round to a small one.
        let significant = digits.drop { $0 == UInt8(ascii: "0") }
        guard significant.count < 16 else { throw MessageError.bodyTooLong }
        return significant.reduce(0) { $0 << 4 | Int(hexDigit($1) ?? 0) }
    }
}

/// Bytes of a line with the size of a chunk.
private let mostInSizeLine = 1024

let carriageReturn = UInt8(ascii: "\r")
let lineFeed = UInt8(ascii: "\n")
