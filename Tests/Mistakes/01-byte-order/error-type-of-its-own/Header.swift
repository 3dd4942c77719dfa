import Course

/// Why some bytes are not a header.
enum HeaderError: Error, Equatable {
    case truncated(count: Int)
    case tooLong(count: Int)
    case unknownVersion(UInt8)
}

func encodeHeader(_ header: Header) -> [UInt8] {
    let (length, sequence, timestamp) = (header.length, header.sequence, header.timestamp)
    var bytes: [UInt8] = [header.version, header.kind]
    bytes += [8, 0].map { UInt8(length >> $0 & 0xFF) }
    bytes += [24, 16, 8, 0].map { UInt8(sequence >> $0 & 0xFF) }
    bytes += [56, 48, 40, 32, 24, 16, 8, 0].map { UInt8(timestamp >> $0 & 0xFF) }
    return bytes
}

func decodeHeader(_ bytes: ArraySlice<UInt8>) throws -> Header {
    let count = bytes.count
    guard count >= 16 else { throw HeaderError.truncated(count: count) }
    guard count == 16 else { throw HeaderError.tooLong(count: count) }

    var unread = bytes
    func next() -> UInt64 { UInt64(unread.removeFirst()) }
    func next16() -> UInt64 { let high = next(); return high << 8 | next() }
    func next32() -> UInt64 { let high = next16(); return high << 16 | next16() }
    func next64() -> UInt64 { let high = next32(); return high << 32 | next32() }

    let version = UInt8(next())
    guard version == 1 else { throw HeaderError.unknownVersion(version) }
    return Header(
        version: version, kind: UInt8(next()), length: UInt16(next16()), sequence: UInt32(next32()), timestamp: next64()
    )
}
