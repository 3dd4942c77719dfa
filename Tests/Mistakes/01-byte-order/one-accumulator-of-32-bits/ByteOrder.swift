import Course

func hostIsLittleEndian() -> Bool {
    bytesInMemory(UInt32(1))[0] == 1
}

func hostToNetwork16(_ value: UInt16) -> UInt16 { laidOut(value) }
func hostToNetwork32(_ value: UInt32) -> UInt32 { laidOut(value) }
func hostToNetwork64(_ value: UInt64) -> UInt64 { laidOut(value) }

func networkToHost16(_ value: UInt16) -> UInt16 { UInt16(gathered(bytesInMemory(value))) }
func networkToHost32(_ value: UInt32) -> UInt32 { UInt32(gathered(bytesInMemory(value))) }
func networkToHost64(_ value: UInt64) -> UInt64 { UInt64(gathered(bytesInMemory(value))) }

/// The number whose memory holds the bytes of `value`, the most significant first.
private func laidOut<Number: FixedWidthInteger & UnsignedInteger>(_ value: Number) -> Number {
    var result = Number.zero
    withUnsafeMutableBytes(of: &result) { room in
        var shift = Number.bitWidth
        for index in room.indices {
            shift -= 8
            room[index] = UInt8(truncatingIfNeeded: value >> shift)
        }
    }
    return result
}

private func bytesInMemory<Number: FixedWidthInteger>(_ number: Number) -> [UInt8] {
    withUnsafeBytes(of: number) { Array($0) }
}

/// Bytes in network order, as a number.
private func gathered(_ bytes: [UInt8]) -> UInt {
    let number = bytes.reduce(into: UInt32.zero) { number, byte in
        number <<= 8
        number |= UInt32(byte)
    }
    return UInt(number)
}
