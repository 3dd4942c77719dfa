import Course

func internetChecksum(_ bytes: [UInt8]) -> UInt16 {
    // Every word is below 2^16, so 64 bits hold the sum of 2^48 of them: no carry is lost, and nothing traps.
    var sum: UInt64 = 0
    var index = 0
    while index + 1 < bytes.count {
        sum += UInt64(bytes[index]) << 8 | UInt64(bytes[index + 1])
        index += 2
    }
    if index < bytes.count {
        // One byte is left over: it is the first of its pair, so it is the high one.
        sum += UInt64(bytes[index]) << 8
    }
    // Adding the carry may carry again (0xFFFF + 1), so once is not enough.
    while sum > 0xFFFF {
        sum = (sum & 0xFFFF) + (sum >> 16)
    }
    let checksum = ~UInt16(sum)
    return checksum == 0 ? 0xFFFF : checksum
}
