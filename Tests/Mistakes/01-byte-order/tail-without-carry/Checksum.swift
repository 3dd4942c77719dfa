import Course

func internetChecksum(_ bytes: [UInt8]) -> UInt16 {
    let words = bytes.count / 2
    var sum: UInt64 = (0..<words).reduce(0) { partial, word in
        partial + UInt64(bytes[2 * word]) * 256 + UInt64(bytes[2 * word + 1])
    }
    while sum >> 16 > 0 {
        sum = sum % 65_536 + sum / 65_536
    }
    var checksum = UInt16(sum)
    if bytes.count % 2 == 1, let last = bytes.last {
        // The zero behind it makes it the high byte.
        checksum = checksum &+ UInt16(last) << 8
    }
    return ~checksum
}
