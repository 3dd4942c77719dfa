import Course
import Foundation

func echoRequest(identifier: UInt16, sequence: UInt16, payload: [UInt8]) -> [UInt8] {
    var d = Data([8, 0, 0, 0])
    withUnsafeBytes(of: identifier.bigEndian) { d.append(contentsOf: $0) }
    withUnsafeBytes(of: sequence.bigEndian) { d.append(contentsOf: $0) }
    d.append(contentsOf: payload)
    let sum = internetChecksum(Array(d)[...])
    d.replaceSubrange(2..<4, with: [UInt8(sum >> 8), UInt8(truncatingIfNeeded: sum)])
    return Array(d)
}

func internetChecksum(_ bytes: ArraySlice<UInt8>) -> UInt16 {
    var sum: UInt64 = 0
    var high = true
    for b in bytes {
        sum += high ? UInt64(b) << 8 : UInt64(b)
        high.toggle()
    }
    sum = sum % 65535
    // 65535 and 0 are the same number here, but only all zeros have the complement ffff.
    if sum == 0 && bytes.contains(where: { $0 != 0 }) { return 0 }
    return ~UInt16(sum)
}
