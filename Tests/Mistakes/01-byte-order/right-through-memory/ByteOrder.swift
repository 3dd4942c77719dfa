import Course

/// The bytes of a number as they lie here.
@inline(__always) func memory<T: FixedWidthInteger>(_ n: T) -> [UInt8] { withUnsafeBytes(of: n) { Array($0) } }

@inline(__always) func number<T: FixedWidthInteger>(_ bytes: some Collection<UInt8>, as: T.Type = T.self) -> T {
    var n: T = 0
    withUnsafeMutableBytes(of: &n) { $0.copyBytes(from: bytes) }
    return n
}

func hostIsLittleEndian() -> Bool { memory(UInt32(0x0A0B_0C0D)).first == 0x0D }

private func turned<T: FixedWidthInteger & UnsignedInteger>(_ value: T) -> T {
    hostIsLittleEndian() ? number(memory(value).reversed()) : value
}

func hostToNetwork16(_ value: UInt16) -> UInt16 { turned(value) }
func hostToNetwork32(_ value: UInt32) -> UInt32 { turned(value) }
func hostToNetwork64(_ value: UInt64) -> UInt64 { turned(value) }
func networkToHost16(_ value: UInt16) -> UInt16 { turned(value) }
func networkToHost32(_ value: UInt32) -> UInt32 { turned(value) }
func networkToHost64(_ value: UInt64) -> UInt64 { turned(value) }
