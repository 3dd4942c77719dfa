import Course

func hostIsLittleEndian() -> Bool {
    var one: UInt32 = 1
    return withUnsafePointer(to: &one) { UnsafeRawPointer($0).load(as: UInt8.self) } == 1
}

/// The number whose bytes in memory are the given number's, the highest first.
private func turned<Number: FixedWidthInteger>(_ value: Number) -> Number {
    var bytes: [UInt8] = []
    var rest = value
    for _ in 0..<(Number.bitWidth / 8) {
        bytes.insert(UInt8(truncatingIfNeeded: rest), at: 0)
        rest >>= 8
    }
    return bytes.withUnsafeBytes { $0.loadUnaligned(as: Number.self) }
}

func hostToNetwork16(_ value: UInt16) -> UInt16 { turned(value) }
func hostToNetwork32(_ value: UInt32) -> UInt32 { turned(value) }
func hostToNetwork64(_ value: UInt64) -> UInt64 { turned(value) }
func networkToHost16(_ value: UInt16) -> UInt16 { turned(value) }
func networkToHost32(_ value: UInt32) -> UInt32 { turned(value) }
func networkToHost64(_ value: UInt64) -> UInt64 { turned(value) }
