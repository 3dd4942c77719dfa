import Course

func internetChecksum(_ bytes: [UInt8]) -> UInt16 {
    var sum: UInt32 = 0
    for (i, byte) in bytes.enumerated() {
        sum &+= i % 2 == 0 ? UInt32(byte) << 8 : UInt32(byte)
    }
    while sum >> 16 != 0 { sum = (sum & 0xFFFF) + (sum >> 16) }
    return ~UInt16(truncatingIfNeeded: sum)
}
