import Course

/// No IP packet is longer than this, so this much is summed in one go; what is longer is summed block by block.
private let block = 65_535

func internetChecksum(_ bytes: [UInt8]) -> UInt16 {
    var total: UInt16 = 0
    var rest = bytes[...]
    while !rest.isEmpty {
        total = onesAdd(total, partial(rest.prefix(block)))
        rest = rest.dropFirst(block)
    }
    return total ^ 0xFFFF
}

/// The folded sum of a block. At most 32,768 words: an UInt32 has room for them.
private func partial(_ piece: ArraySlice<UInt8>) -> UInt16 {
    var sum: UInt32 = 0
    var isHigh = true
    for byte in piece {
        sum += isHigh ? UInt32(byte) << 8 : UInt32(byte)
        isHigh.toggle()
    }
    repeat { sum = (sum >> 16) + (sum & 0xFFFF) } while sum >> 16 != 0
    return UInt16(sum)
}

private func onesAdd(_ a: UInt16, _ b: UInt16) -> UInt16 {
    let (sum, carried) = a.addingReportingOverflow(b)
    return carried ? sum + 1 : sum
}
