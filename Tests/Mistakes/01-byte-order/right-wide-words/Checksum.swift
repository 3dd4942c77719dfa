import Course

func internetChecksum(_ bytes: [UInt8]) -> UInt16 {
    // Eight bytes at a time: a carry out of 64 bits is added at the bottom just as one out of 16 is.
    var sum: UInt64 = 0
    func add(_ word: UInt64) {
        let result = sum.addingReportingOverflow(word)
        sum = result.partialValue &+ (result.overflow ? 1 : 0)
    }
    var index = 0
    while bytes.count - index >= 8 {
        var word: UInt64 = 0
        for byte in bytes[index..<(index + 8)] { word = word << 8 | UInt64(byte) }
        add(word)
        index += 8
    }
    // What is left over stands at the high end, with zeros behind it.
    var word: UInt64 = 0
    var place: UInt64 = 56
    for byte in bytes[index...] {
        word |= UInt64(byte) << place
        place -= 8
    }
    add(word)

    for bits: UInt64 in [32, 16] {
        let mask = (UInt64(1) << bits) - 1
        while sum > mask { sum = (sum & mask) + (sum >> bits) }
    }
    return UInt16(sum) ^ UInt16.max
}
