import Course

func hostIsLittleEndian() -> Bool {
    let bytes = withUnsafeBytes(of: UInt16(0x00FF)) { Array($0) }
    return bytes == [0xFF, 0x00]
}

// All bytes move at once: every byte changes places with its neighbour, and then the two halves of the number do.

private let evenBytes: UInt64 = 0x00FF_00FF_00FF_00FF

func hostToNetwork16(_ value: UInt16) -> UInt16 {
    hostIsLittleEndian() ? exchangeHalves(value) : value
}

func hostToNetwork32(_ value: UInt32) -> UInt32 {
    hostIsLittleEndian() ? exchangeHalves(exchangeNeighbours(value)) : value
}

func hostToNetwork64(_ value: UInt64) -> UInt64 {
    hostIsLittleEndian() ? exchangeHalves(exchangeNeighbours(value)) : value
}

func networkToHost16(_ value: UInt16) -> UInt16 { hostToNetwork16(value) }
func networkToHost32(_ value: UInt32) -> UInt32 { hostToNetwork32(value) }
func networkToHost64(_ value: UInt64) -> UInt64 { hostToNetwork64(value) }

private func exchangeNeighbours<Number: FixedWidthInteger & UnsignedInteger>(_ value: Number) -> Number {
    let mask = Number(truncatingIfNeeded: evenBytes)
    return (value & mask) << 8 | (value >> 8) & mask
}

private func exchangeHalves<Number: FixedWidthInteger & UnsignedInteger>(_ value: Number) -> Number {
    let half = Number.bitWidth / 2
    return value << half | value >> half
}
