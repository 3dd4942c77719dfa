import Course

func encodeFrame(message: [UInt8]) -> [UInt8] {
    var frame: [UInt8] = []
    frame.reserveCapacity(4 + message.count)
    for shift in [24, 16, 8, 0] { frame.append(UInt8(message.count >> shift & 0xFF)) }
    frame.append(contentsOf: message)
    return frame
}

func bigEndian<Number: FixedWidthInteger>(_ number: Number) -> [UInt8] {
    stride(from: Number.bitWidth - 8, through: 0, by: -8).map { UInt8(truncatingIfNeeded: number >> $0) }
}
