import Course

/// The most that goes into one frame.
private let largestPart = 65_535

/// A message, ready to be sent. What is longer than one frame takes goes in several, one behind the other, so that nobody
/// has to wait long for the end of one.
func encodeFrame(message: [UInt8]) -> [UInt8] {
    var encoded: [UInt8] = []
    encoded.reserveCapacity(message.count + 4)
    var start = 0
    repeat {
        let end = min(start + largestPart, message.count)
        encoded += bigEndian(UInt32(end - start))
        encoded += message[start..<end]
        start = end
    } while start < message.count
    return encoded
}

/// Most significant byte first.
func bigEndian<Number: FixedWidthInteger>(_ number: Number) -> [UInt8] {
    stride(from: Number.bitWidth - 8, through: 0, by: -8).map { UInt8(truncatingIfNeeded: number >> Number($0)) }
}
