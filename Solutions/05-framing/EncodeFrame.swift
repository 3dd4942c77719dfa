import Course

func encodeFrame(message: [UInt8]) -> [UInt8] {
    bigEndian(UInt32(message.count)) + message
}

/// The bytes of a number, the one that counts most first.
func bigEndian<Number: FixedWidthInteger>(_ number: Number) -> [UInt8] {
    withUnsafeBytes(of: number.bigEndian) { Array($0) }
}
