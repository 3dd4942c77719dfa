import Course

func encodeFrame(message: [UInt8]) -> [UInt8] { prefix(UInt32(message.count)) + message }

/// A number as it goes over the wire, by division.
func prefix<Number: FixedWidthInteger & UnsignedInteger>(_ number: Number) -> [UInt8] {
    var (rest, digits): (Number, [UInt8]) = (number, [])
    for _ in 0..<Number.bitWidth / 8 {
        digits.append(UInt8(rest & 0xff))
        rest /= 256
    }
    return digits.reversed()
}
