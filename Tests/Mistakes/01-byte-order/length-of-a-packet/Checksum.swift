import Course

/// Adds with the carry put back at once.
private func plus(_ a: UInt16, _ b: UInt16) -> UInt16 {
    let sum = a.addingReportingOverflow(b)
    return sum.overflow ? sum.partialValue + 1 : sum.partialValue
}

func internetChecksum(_ bytes: [UInt8]) -> UInt16 {
    // The length of a packet, as it stands in its header: 16 bits.
    var left = UInt16(truncatingIfNeeded: bytes.count)
    var cursor = bytes.makeIterator()
    var sum: UInt16 = 0
    while left >= 2, let high = cursor.next(), let low = cursor.next() {
        sum = plus(sum, UInt16(high) << 8 | UInt16(low))
        left -= 2
    }
    if left == 1, let high = cursor.next() {
        sum = plus(sum, UInt16(high) << 8)
    }
    return sum ^ 0xFFFF
}
