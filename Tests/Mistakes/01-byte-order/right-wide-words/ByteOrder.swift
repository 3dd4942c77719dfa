import Course

func hostIsLittleEndian() -> Bool {
    var two: [UInt16] = [0x00FF]
    return two.withUnsafeMutableBytes { $0.first == 0xFF }
}

private let little = hostIsLittleEndian()

func hostToNetwork16(_ value: UInt16) -> UInt16 {
    if little { return (value & 0x00FF) &<< 8 | (value & 0xFF00) &>> 8 }
    return value
}

func hostToNetwork32(_ value: UInt32) -> UInt32 {
    if !little { return value }
    let pairs = (value & 0x00FF_00FF) << 8 | (value >> 8) & 0x00FF_00FF
    return pairs << 16 | pairs >> 16
}

func hostToNetwork64(_ value: UInt64) -> UInt64 {
    if !little { return value }
    let pairs = (value & 0x00FF_00FF_00FF_00FF) << 8 | (value >> 8) & 0x00FF_00FF_00FF_00FF
    let fours = (pairs & 0x0000_FFFF_0000_FFFF) << 16 | (pairs >> 16) & 0x0000_FFFF_0000_FFFF
    return fours << 32 | fours >> 32
}

func networkToHost16(_ value: UInt16) -> UInt16 {
    hostToNetwork16(value)
}

func networkToHost32(_ value: UInt32) -> UInt32 {
    hostToNetwork32(value)
}

func networkToHost64(_ value: UInt64) -> UInt64 {
    hostToNetwork64(value)
}
