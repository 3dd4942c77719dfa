import Course

func internetChecksum(_ bytes: [UInt8]) -> UInt16 {
    var padded = bytes
    if padded.count % 2 == 1 { padded.append(0) }
    var sum: UInt32 = 0
    for pair in stride(from: 0, to: padded.count, by: 2) {
        sum += UInt32(padded[pair]) * 256 + UInt32(padded[pair + 1])
        if sum >= 0x10000 { sum -= 0xFFFF }
    }
    return UInt16(0xFFFF - sum)
}
