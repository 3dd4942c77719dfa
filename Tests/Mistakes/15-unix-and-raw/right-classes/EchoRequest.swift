import Course
import Foundation

func echoRequest(identifier: UInt16, sequence: UInt16, payload: [UInt8]) -> [UInt8] {
    var data = Data([8, 0, 0, 0])
    for number in [identifier, sequence] { withUnsafeBytes(of: number.bigEndian) { data.append(contentsOf: $0) } }
    data.append(contentsOf: payload)
    let bytes = [UInt8](data)
    let checksum = internetChecksum(bytes[...])
    return [8, 0, UInt8(checksum >> 8), UInt8(checksum & 255)] + bytes[4...]
}

/// Modulo 65,535: that is what folding comes to. A sum that is not zero has the residue ffff where the remainder is 0.
func internetChecksum(_ bytes: ArraySlice<UInt8>) -> UInt16 {
    var sum: UInt64 = 0
    var weight: UInt64 = 256
    for byte in bytes {
        sum += UInt64(byte) * weight
        weight = 257 - weight
    }
    if sum == 0 { return 0xFFFF }
    let rest = sum % 0xFFFF
    return rest == 0 ? 0 : UInt16(0xFFFF - rest)
}
