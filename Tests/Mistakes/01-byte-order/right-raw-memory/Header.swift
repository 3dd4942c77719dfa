import Course
func encodeHeader(_ h: Header) -> [UInt8] {
    var out = [UInt8](repeating: 0, count: 16)
    out.withUnsafeMutableBytes { p in
        p[0] = h.version; p[1] = h.kind
        p.storeBytes(of: hostToNetwork16(h.length), toByteOffset: 2, as: UInt16.self)
        p.storeBytes(of: hostToNetwork32(h.sequence), toByteOffset: 4, as: UInt32.self)
        p.storeBytes(of: hostToNetwork64(h.timestamp), toByteOffset: 8, as: UInt64.self)
    }
    return out
}
func decodeHeader(_ bytes: ArraySlice<UInt8>) throws -> Header {
    switch bytes.count {
    case ..<16: throw HeaderError.truncated(count: bytes.count);
    case 17...: throw HeaderError.tooLong(count: bytes.count);
    default: break
    }
    var it = bytes.makeIterator()
    func next() -> UInt64 { UInt64(it.next()!) }
    let v = next(); guard v == 1 else { throw HeaderError.unknownVersion(UInt8(v)) }
    let k = next()
    let l = next() * 256 + next()
    let s = (0..<4).reduce(UInt64(0)) { a, _ in a * 256 + next() }
    let t = (0..<8).reduce(UInt64(0)) { a, _ in a &* 256 &+ next() }
    return Header(version: UInt8(v), kind: UInt8(k), length: UInt16(l), sequence: UInt32(s), timestamp: t)
}
