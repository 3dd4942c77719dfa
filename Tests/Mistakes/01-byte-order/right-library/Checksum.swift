import Course

func internetChecksum(_ bytes: [UInt8]) -> UInt16 {
    let words = stride(from: 0, to: bytes.count, by: 2).map { at -> UInt32 in
        UInt32(bytes[at]) << 8 + UInt32(at + 1 < bytes.count ? bytes[at + 1] : 0)
    }
    let sum = words.reduce(UInt32(0)) { total, word in
        let next = total + word
        return next & 0xFFFF + next >> 16
    }
    return UInt16(truncatingIfNeeded: ~sum)
}
