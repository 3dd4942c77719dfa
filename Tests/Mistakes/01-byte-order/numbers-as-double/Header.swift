import Course

func encodeHeader(_ header: Header) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: 16)
    bytes[0] = header.version
    bytes[1] = header.kind
    write(UInt64(header.length), into: &bytes, at: 2, size: 2)
    write(UInt64(header.sequence), into: &bytes, at: 4, size: 4)
    write(header.timestamp, into: &bytes, at: 8, size: 8)
    return bytes
}

private func write(_ number: UInt64, into bytes: inout [UInt8], at offset: Int, size: Int) {
    var rest = number
    for index in stride(from: offset + size - 1, through: offset, by: -1) {
        (rest, bytes[index]) = (rest / 256, UInt8(rest % 256))
    }
}

func decodeHeader(_ bytes: ArraySlice<UInt8>) throws -> Header {
    guard bytes.count >= 16 else { throw HeaderError.truncated(count: bytes.count) }
    guard bytes.count <= 16 else { throw HeaderError.tooLong(count: bytes.count) }
    let start = bytes.startIndex
    guard bytes[start] == 1 else { throw HeaderError.unknownVersion(bytes[start]) }

    /// Horner's rule; no shift, so nothing can be shifted out.
    func value(_ offset: Int, _ size: Int) -> Double {
        var number = 0.0
        for byte in bytes[(start + offset)..<(start + offset + size)] { number = number * 256 + Double(byte) }
        return number
    }
    return Header(
        version: 1,
        kind: bytes[start + 1],
        length: UInt16(value(2, 2)),
        sequence: UInt32(value(4, 4)),
        timestamp: UInt64(exactly: value(8, 8)) ?? .max)
}
