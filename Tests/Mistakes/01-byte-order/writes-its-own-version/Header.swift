import Course

// Shifts speak of the number, not of the memory that it lies in: nothing here asks which order the machine has,
// no pointer is read through, and so no alignment matters.

func encodeHeader(_ header: Header) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(Header.size)
    append(Header.currentVersion, to: &bytes)
    append(header.kind, to: &bytes)
    append(header.length, to: &bytes)
    append(header.sequence, to: &bytes)
    append(header.timestamp, to: &bytes)
    return bytes
}

func decodeHeader(_ bytes: ArraySlice<UInt8>) throws(HeaderError) -> Header {
    // The length is settled once, here: no read below can run past the end.
    guard bytes.count >= Header.size else { throw .truncated(count: bytes.count) }
    guard bytes.count <= Header.size else { throw .tooLong(count: bytes.count) }

    var rest = bytes
    let version: UInt8 = take(from: &rest)
    // Another version may mean different fields at these offsets, so nothing else is looked at.
    guard version == Header.currentVersion else { throw .unknownVersion(version) }
    let kind: UInt8 = take(from: &rest)
    let length: UInt16 = take(from: &rest)
    let sequence: UInt32 = take(from: &rest)
    let timestamp: UInt64 = take(from: &rest)
    return Header(version: version, kind: kind, length: length, sequence: sequence, timestamp: timestamp)
}

/// Appends the bytes of the number, the most significant one first.
private func append(_ number: some FixedWidthInteger & UnsignedInteger, to bytes: inout [UInt8]) {
    for shift in stride(from: number.bitWidth - 8, through: 0, by: -8) {
        bytes.append(UInt8(truncatingIfNeeded: number >> shift))
    }
}

/// Takes as many bytes as the number has from the front. The caller has made sure that they are there.
private func take<Number: FixedWidthInteger & UnsignedInteger>(from bytes: inout ArraySlice<UInt8>) -> Number {
    let size = Number.bitWidth / 8
    defer { bytes.removeFirst(size) }
    // Number(byte) widens before anything is shifted: a UInt8 moved left by 8 would be 0.
    return bytes.prefix(size).reduce(0) { number, byte in number << 8 | Number(byte) }
}
