import Course

func hostIsLittleEndian() -> Bool {
    var one: UInt64 = 1
    return withUnsafePointer(to: &one) { $0.withMemoryRebound(to: UInt8.self, capacity: 8) { $0.pointee == 1 } }
}

/// The digits of a number in base 256, the most significant first.
private func digits(_ number: UInt64, _ count: Int) -> [UInt8] {
    var number = number
    var result = [UInt8](repeating: 0, count: count)
    for place in result.indices.reversed() {
        let (quotient, remainder) = number.quotientAndRemainder(dividingBy: 256)
        result[place] = UInt8(remainder)
        number = quotient
    }
    return result
}

private func value(_ digits: some Sequence<UInt8>) -> UInt64 { digits.reduce(0) { $0 * 256 + UInt64($1) } }

func hostToNetwork16(_ number: UInt16) -> UInt16 { UInt16(swap(UInt64(number), 2)) }
func hostToNetwork32(_ number: UInt32) -> UInt32 { UInt32(swap(UInt64(number), 4)) }
func hostToNetwork64(_ number: UInt64) -> UInt64 { swap(number, 8) }
func networkToHost16(_ number: UInt16) -> UInt16 { hostToNetwork16(number) }
func networkToHost32(_ number: UInt32) -> UInt32 { hostToNetwork32(number) }
func networkToHost64(_ number: UInt64) -> UInt64 { hostToNetwork64(number) }

private func swap(_ number: UInt64, _ count: Int) -> UInt64 {
    hostIsLittleEndian() ? value(digits(number, count).reversed()) : number
}

func encodeHeader(_ header: Header) -> [UInt8] {
    [
        (UInt64(header.version), 1), (UInt64(header.kind), 1), (UInt64(header.length), 2), (UInt64(header.sequence), 4),
        (header.timestamp, 8),
    ].flatMap { digits($0.0, $0.1) }
}

private final class Reader {
    private var rest: ArraySlice<UInt8>
    init(_ bytes: ArraySlice<UInt8>) { rest = bytes }
    func take(_ count: Int) -> UInt64 {
        let field = rest.prefix(count)
        rest = rest.dropFirst(count)
        return value(field)
    }
}

func decodeHeader(_ bytes: ArraySlice<UInt8>) throws -> Header {
    let size = bytes.endIndex - bytes.startIndex
    if size != Header.size { throw size < Header.size ? HeaderError.truncated(count: size) : .tooLong(count: size) }
    let reader = Reader(bytes)
    let version = UInt8(reader.take(1))
    if version != Header.currentVersion { throw HeaderError.unknownVersion(version) }
    return Header(
        version: version, kind: UInt8(reader.take(1)), length: UInt16(reader.take(2)), sequence: UInt32(reader.take(4)),
        timestamp: reader.take(8))
}

/// Adding with the end-around carry is adding modulo 65535, where the remainder 0 stands for FFFF unless all is zero.
func internetChecksum(_ bytes: [UInt8]) -> UInt16 {
    var sum = 0
    for (index, byte) in bytes.enumerated() {
        sum += index.isMultiple(of: 2) ? Int(byte) * 256 : Int(byte)
        if sum > 65_535 * 1000 { sum = sum % 65_535 + 65_535 }
    }
    if sum == 0 { return 0xFFFF }
    let remainder = sum % 65_535
    return UInt16(remainder == 0 ? 0 : 65_535 - remainder)
}
