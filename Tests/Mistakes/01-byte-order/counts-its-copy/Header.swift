import Course

func encodeHeader(_ header: Header) -> [UInt8] {
    [header.version, header.kind] + bigEndianBytes(of: header.length) + bigEndianBytes(of: header.sequence)
        + bigEndianBytes(of: header.timestamp)
}

func decodeHeader(_ bytes: ArraySlice<UInt8>) throws -> Header {
    // A stranger may send a great deal. One byte more than a header is enough to know that it is none, so no more than
    // that is copied.
    let front = Array(bytes.prefix(Header.size + 1))
    switch front.count {
    case ..<Header.size: throw HeaderError.truncated(count: front.count)
    case Header.size: break
    default: throw HeaderError.tooLong(count: front.count)
    }
    guard front[0] == Header.currentVersion else { throw HeaderError.unknownVersion(front[0]) }
    return Header(
        version: front[0], kind: front[1],
        length: joined(front[2...3]), sequence: joined(front[4...7]), timestamp: joined(front[8...15]))
}

private func bigEndianBytes<Number: FixedWidthInteger>(of number: Number) -> [UInt8] {
    (1...MemoryLayout<Number>.size).map { UInt8(truncatingIfNeeded: number >> (Number.bitWidth - 8 * $0)) }
}

private func joined<Number: FixedWidthInteger>(_ bytes: ArraySlice<UInt8>) -> Number {
    var number: Number = 0
    for byte in bytes {
        number <<= 8
        number |= Number(byte)
    }
    return number
}
