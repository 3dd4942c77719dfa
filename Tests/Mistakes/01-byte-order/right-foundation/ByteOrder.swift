import Course
import Foundation
func hostIsLittleEndian() -> Bool { CFByteOrderIsLittle() }
func CFByteOrderIsLittle() -> Bool { var n: UInt32 = 1; return memcmp(&n, [1, 0, 0, 0] as [UInt8], 4) == 0 }
func swap<T: FixedWidthInteger>(_ v: T) -> T {
    var out: T = 0
    withUnsafeMutableBytes(of: &out) { p in
        for i in 0..<T.bitWidth / 8 { p[i] = UInt8(truncatingIfNeeded: v >> (T.bitWidth - 8 - 8 * i)) }
    }
    return out
}
func hostToNetwork16(_ v: UInt16) -> UInt16 { swap(v) }
func hostToNetwork32(_ v: UInt32) -> UInt32 { swap(v) }
func hostToNetwork64(_ v: UInt64) -> UInt64 { swap(v) }
func networkToHost16(_ v: UInt16) -> UInt16 { withUnsafeBytes(of: v) { UInt16($0[0]) * 256 + UInt16($0[1]) } }
func networkToHost32(_ v: UInt32) -> UInt32 { withUnsafeBytes(of: v) { $0.reduce(0) { $0 * 256 + UInt32($1) } } }
func networkToHost64(_ v: UInt64) -> UInt64 { withUnsafeBytes(of: v) { $0.reduce(0) { $0 * 256 + UInt64($1) } } }
