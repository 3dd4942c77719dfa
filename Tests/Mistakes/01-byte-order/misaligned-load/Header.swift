import Course

func encodeHeader(_ header: Header) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(Header.size)
    append(header.version, to: &bytes)
    append(header.kind, to: &bytes)
    append(header.length, to: &bytes)
    append(header.sequence, to: &bytes)
    append(header.timestamp, to: &bytes)
    return bytes
}

func decodeHeader(_ bytes: ArraySlice<UInt8>) throws(HeaderError) -> Header {
    guard bytes.count >= Header.size else { throw .truncated(count: bytes.count) }
    guard bytes.count <= Header.size else { throw .tooLong(count: bytes.count) }

    var rest = bytes
    let version: UInt8 = take(from: &rest)
    guard version == Header.currentVersion else { throw .unknownVersion(version) }
    let kind: UInt8 = take(from: &rest)
    let length: UInt16 = take(from: &rest)
    let sequence = rest.withUnsafeBytes { UInt32(bigEndian: $0.load(as: UInt32.self)) }
    rest.removeFirst(4)
    let timestamp: UInt64 = take(from: &rest)
    return Header(version: version, kind: kind, length: length, sequence: sequence, timestamp: timestamp)
}

private func append(_ number: some FixedWidthInteger & UnsignedInteger, to bytes: inout [UInt8]) {
    for shift in stride(from: number.bitWidth - 8, through: 0, by: -8) {
        bytes.append(UInt8(truncatingIfNeeded: number >> shift))
    }
}

private func take<Number: FixedWidthInteger & UnsignedInteger>(from bytes: inout ArraySlice<UInt8>) -> Number {
    let size = Number.bitWidth / 8
    defer { bytes.removeFirst(size) }
    return bytes.prefix(size).reduce(0) { number, byte in number << 8 | Number(byte) }
}
