import Course

func encodeFrame(_ opcode: Opcode, _ payload: [UInt8], isFinal: Bool = true, mask: [UInt8]? = nil) -> [UInt8] {
    let count = payload.count
    let wide = count < 126 ? 0 : count < 65_536 ? 2 : 8
    let start = 2 + wide + (mask == nil ? 0 : 4)

    return [UInt8](unsafeUninitializedCapacity: start + count) { frame, used in
        frame[0] = opcode.rawValue
        frame[1] = wide == 0 ? UInt8(count) : wide == 2 ? 126 : 127
        if isFinal { frame[0] |= 0b1000_0000 }
        for place in 0..<wide { frame[2 + place] = UInt8(truncatingIfNeeded: count >> (8 * (wide - 1 - place))) }
        _ = UnsafeMutableBufferPointer(rebasing: frame[start...]).initialize(from: payload)
        if let mask {
            frame[1] |= 0b1000_0000
            for place in 0..<4 { frame[start - 4 + place] = mask[place] }
            let (a, b, c, d) = (mask[0], mask[1], mask[2], mask[3])
            for place in start..<(start + count) {
                switch place & 3 {
                case 0: frame[place] ^= a
                case 1: frame[place] ^= b
                case 2: frame[place] ^= c
                default: frame[place] ^= d
                }
            }
        }
        used = start + count
    }
}

/// The same for the receiver, on bytes that begin with the mask's first.
func applyMask(_ mask: [UInt8], to bytes: Slice<UnsafeMutableRawBufferPointer>) {
    for (place, index) in bytes.indices.enumerated() { bytes.base[index] ^= mask[place & 3] }
}
