import Course

func encodeFrame(message: [UInt8]) -> [UInt8] {
    [0, 0, 0, UInt8(truncatingIfNeeded: message.count)] + message
}

func bigEndian<Number: FixedWidthInteger>(_ number: Number) -> [UInt8] {
    withUnsafeBytes(of: number.bigEndian) { Array($0) }
}
