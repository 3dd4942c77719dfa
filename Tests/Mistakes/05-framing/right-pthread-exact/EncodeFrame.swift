import Course

func encodeFrame(message: [UInt8]) -> [UInt8] {
    var frame: [UInt8] = []
    frame.reserveCapacity(4 + message.count)
    frame += digits(UInt64(message.count), count: 4)
    frame += message
    return frame
}

/// The last `count` bytes of a number, the biggest first.
func digits(_ number: UInt64, count: Int) -> [UInt8] {
    (0..<count).reversed().map { UInt8(truncatingIfNeeded: number >> (8 * UInt64($0))) }
}
