import Course
import Foundation
func encodeHeader(_ h: Header) -> [UInt8] {
    var d = Data([h.version, h.kind])
    withUnsafeBytes(of: h.length.bigEndian) { d.append(contentsOf: $0) }
    withUnsafeBytes(of: h.sequence.bigEndian) { d.append(contentsOf: $0) }
    withUnsafeBytes(of: h.timestamp.bigEndian) { d.append(contentsOf: $0) }
    return [UInt8](d)
}
func decodeHeader(_ bytes: ArraySlice<UInt8>) throws -> Header {
    let d = Data(bytes)
    if d.count < 16 { throw HeaderError.truncated(count: d.count) }
    if d.count > 16 { throw HeaderError.tooLong(count: d.count) }
    if d[0] != 1 { throw HeaderError.unknownVersion(d[0]) }
    return d.withUnsafeBytes { p in
        Header(
            version: p[0], kind: p[1], length: UInt16(bigEndian: p.loadUnaligned(fromByteOffset: 2, as: UInt16.self)),
            sequence: UInt32(bigEndian: p.loadUnaligned(fromByteOffset: 4, as: UInt32.self)),
            timestamp: UInt64(bigEndian: p.loadUnaligned(fromByteOffset: 8, as: UInt64.self)))
    }
}
