import Course

/// The length is written like any number: digit by digit, the last one first, only that a digit is a byte here.
func encodeFrame(message: [UInt8]) -> [UInt8] {
    let largestDigit = Int(UInt8.max)
    var frame = [UInt8]()
    frame.reserveCapacity(4 + message.count)
    var rest = message.count
    for _ in 1...4 {
        frame.insert(UInt8(rest % largestDigit), at: 0)
        rest /= largestDigit
    }
    frame.append(contentsOf: message)
    return frame
}

/// For the header of a file.
func bigEndian<Number: FixedWidthInteger>(_ number: Number) -> [UInt8] {
    let width = Number.bitWidth / 8
    return (0..<width).map { place in
        UInt8(truncatingIfNeeded: number >> Number((width - 1 - place) * 8))
    }
}
