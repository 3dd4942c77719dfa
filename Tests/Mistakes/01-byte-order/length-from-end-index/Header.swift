import Course

private func split(_ number: UInt64, into count: Int) -> [UInt8] {
    count == 0 ? [] : split(number >> 8, into: count - 1) + [UInt8(number & 0xFF)]
}

func encodeHeader(_ header: Header) -> [UInt8] {
    [header.version, header.kind]
        + split(UInt64(header.length), into: 2)
        + split(UInt64(header.sequence), into: 4)
        + split(header.timestamp, into: 8)
}

func decodeHeader(_ bytes: ArraySlice<UInt8>) throws -> Header {
    let size = bytes.endIndex
    guard size >= Header.size else { throw HeaderError.truncated(count: size) }
    guard size == Header.size else { throw HeaderError.tooLong(count: size) }

    // A slice keeps the indices of its array: a copy begins at 0 again.
    let copy = Array(bytes)
    func number(at offset: Int, _ count: Int) -> UInt64 {
        copy[offset..<(offset + count)].reduce(0 as UInt64) { sum, byte in (sum << 8) + UInt64(byte) }
    }
    guard copy[0] == Header.currentVersion else { throw HeaderError.unknownVersion(copy[0]) }
    return Header(
        version: copy[0], kind: copy[1],
        length: UInt16(number(at: 2, 2)),
        sequence: UInt32(number(at: 4, 4)),
        timestamp: number(at: 8, 8))
}
