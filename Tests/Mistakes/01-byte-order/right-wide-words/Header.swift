import Course

// The sixteen bytes are two numbers of 64 bits: everything before the timestamp, and the timestamp.

func encodeHeader(_ header: Header) -> [UInt8] {
    var front = UInt64(header.version)
    front = front << 8 | UInt64(header.kind)
    front = front << 16 | UInt64(header.length)
    front = front << 32 | UInt64(header.sequence)

    var packet = Array(repeating: UInt8(0), count: Header.size)
    for index in 0..<8 {
        packet[7 - index] = UInt8(truncatingIfNeeded: front)
        front >>= 8
    }
    var back = header.timestamp
    for index in 0..<8 {
        packet[15 - index] = UInt8(truncatingIfNeeded: back)
        back >>= 8
    }
    return packet
}

func decodeHeader(_ bytes: ArraySlice<UInt8>) throws -> Header {
    guard bytes.count == Header.size else {
        if bytes.count < Header.size { throw HeaderError.truncated(count: bytes.count) }
        throw HeaderError.tooLong(count: bytes.count)
    }
    let big: (ArraySlice<UInt8>) -> UInt64 = { part in part.reduce(into: 0) { $0 = $0 << 8 | UInt64($1) } }
    let front = big(bytes.prefix(8))
    let version = UInt8(front >> 56)
    guard version == Header.currentVersion else { throw HeaderError.unknownVersion(version) }
    return Header(
        version: version,
        kind: UInt8(truncatingIfNeeded: front >> 48),
        length: UInt16(truncatingIfNeeded: front >> 32),
        sequence: UInt32(truncatingIfNeeded: front),
        timestamp: big(bytes.suffix(8)))
}
