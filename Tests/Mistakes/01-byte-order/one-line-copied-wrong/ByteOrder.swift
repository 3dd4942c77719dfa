import Course

func hostIsLittleEndian() -> Bool {
    // The number 1 has one byte that is 1 and one that is 0: which of them comes first?
    withUnsafeBytes(of: UInt16(1)) { $0[0] == 1 }
}

func hostToNetwork16(_ value: UInt16) -> UInt16 {
    guard hostIsLittleEndian() else { return value }
    return value << 8 | value >> 8
}

func hostToNetwork32(_ value: UInt32) -> UInt32 {
    guard hostIsLittleEndian() else { return value }
    return value << 24 | (value & 0x0000_FF00) << 8 | (value & 0x00FF_0000) >> 8 | value >> 24
}

func hostToNetwork64(_ value: UInt64) -> UInt64 {
    guard hostIsLittleEndian() else { return value }
    // Each half is turned in itself, and the halves change places.
    let high = UInt32(truncatingIfNeeded: value >> 32)
    let low = UInt32(truncatingIfNeeded: value)
    return UInt64(hostToNetwork32(low)) << 32 | UInt64(hostToNetwork32(high))
}

// Turning round is its own opposite. Two names remain, because a reader wants to know which way a number goes.

func networkToHost16(_ value: UInt16) -> UInt16 { hostToNetwork16(value) }

func networkToHost32(_ value: UInt32) -> UInt32 { hostToNetwork32(value) }

func networkToHost64(_ value: UInt64) -> UInt64 {
    guard hostIsLittleEndian() else { return value }
    return (value & 0x0000_0000_0000_00FF) << 56
        | (value & 0x0000_0000_0000_FF00) << 40
        | (value & 0x0000_0000_00FF_0000) << 24
        | (value & 0x0000_0000_FF00_0000) << 8
        | (value & 0x0000_00FF_0000_0000) >> 8
        | (value & 0x0000_FF00_0000_0000) >> 8
        | (value & 0x00FF_0000_0000_0000) >> 40
        | (value & 0xFF00_0000_0000_0000) >> 56
}
