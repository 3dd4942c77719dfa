import Course

private struct OnesComplementSum {
    private var total: UInt32 = 0

    mutating func add(high: UInt8, low: UInt8) {
        total += UInt32(high) * 256 + UInt32(low)
        // Never more than one carry behind: the total stays small, however long the message is.
        while total >> 16 != 0 { total = (total >> 16) + (total & 0xFFFF) }
    }

    var complement: UInt16 { ~UInt16(truncatingIfNeeded: total) }
}

func internetChecksum(_ bytes: [UInt8]) -> UInt16 {
    var sum = OnesComplementSum()
    // Addition does not care for the order of the words, so they may as well be taken off the end.
    var stack = bytes
    while let low = stack.popLast() {
        // If its partner is missing there is a zero instead.
        sum.add(high: stack.popLast() ?? 0, low: low)
    }
    return sum.complement
}
