import Course
import Foundation

extension Data {
    fileprivate mutating func put<T: FixedWidthInteger>(_ n: T) {
        Swift.withUnsafeBytes(of: n.bigEndian) { append(contentsOf: $0) }
    }
}

func encodeHeader(_ h: Header) -> [UInt8] {
    var data = Data(capacity: 16)
    data.put(h.version)
    data.put(h.kind)
    data.put(h.length)
    data.put(h.sequence)
    data.put(h.timestamp)
    return [UInt8](data)
}

func decodeHeader(_ bytes: ArraySlice<UInt8>) throws -> Header {
    guard bytes.count >= 16 else { throw HeaderError.truncated(count: bytes.count) }
    guard bytes.count == 16 else { throw HeaderError.tooLong(count: bytes.count) }
    var queue = bytes
    func next<T: FixedWidthInteger & UnsignedInteger>() -> T {
        var n: T = 0
        for _ in 0..<MemoryLayout<T>.size {
            guard let byte = queue.popFirst() else { break }
            if T.bitWidth > 8 { n <<= 8 }
            n |= T(byte)
        }
        return n
    }
    guard bytes[bytes.startIndex] == 1 else { throw HeaderError.unknownVersion(bytes[bytes.startIndex]) }
    return Header(version: next(), kind: next(), length: next(), sequence: next(), timestamp: next())
}
