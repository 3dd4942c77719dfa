import Course

func encodeFrame(message: [UInt8]) -> [UInt8] {
    bigEndian(UInt32(message.count + 4)) + message
}

func bigEndian<Number: FixedWidthInteger>(_ number: Number) -> [UInt8] {
    withUnsafeBytes(of: number.bigEndian) { Array($0) }
}
