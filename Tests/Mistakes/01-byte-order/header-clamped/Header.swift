import Course

private protocol WireNumber: FixedWidthInteger, UnsignedInteger {}
extension UInt8: WireNumber {}
extension UInt16: WireNumber {}
extension UInt32: WireNumber {}
extension UInt64: WireNumber {}

extension WireNumber {
    fileprivate static var width: Int { bitWidth / 8 }

    /// Most significant byte first. A plain UInt8(…) stops the program when the number is larger than 255.
    fileprivate var onTheWire: [UInt8] {
        (0..<Self.width).map { place in UInt8(clamping: self >> (8 * (Self.width - 1 - place))) }
    }

    fileprivate init(onTheWire bytes: ArraySlice<UInt8>) {
        self = bytes.reduce(0) { ($0 << 8) + Self($1) }
    }
}

func encodeHeader(_ header: Header) -> [UInt8] {
    header.version.onTheWire + header.kind.onTheWire + header.length.onTheWire + header.sequence.onTheWire
        + header.timestamp.onTheWire
}

func decodeHeader(_ bytes: ArraySlice<UInt8>) throws -> Header {
    if bytes.count < Header.size { throw HeaderError.truncated(count: bytes.count) }
    if bytes.count > Header.size { throw HeaderError.tooLong(count: bytes.count) }
    let first = bytes.startIndex
    if bytes[first] != Header.currentVersion { throw HeaderError.unknownVersion(bytes[first]) }
    return Header(
        version: bytes[first], kind: bytes[first + 1], length: UInt16(onTheWire: bytes[(first + 2)..<(first + 4)]),
        sequence: UInt32(onTheWire: bytes[(first + 4)..<(first + 8)]),
        timestamp: UInt64(onTheWire: bytes[(first + 8)..<(first + 16)]))
}
