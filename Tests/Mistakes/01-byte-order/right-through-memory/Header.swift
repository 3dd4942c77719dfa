import Course

func encodeHeader(_ header: Header) -> [UInt8] {
    memory(header.version) + memory(header.kind) + memory(hostToNetwork16(header.length))
        + memory(hostToNetwork32(header.sequence)) + memory(hostToNetwork64(header.timestamp))
}

func decodeHeader(_ bytes: ArraySlice<UInt8>) throws -> Header {
    switch bytes.count {
    case ..<16: throw HeaderError.truncated(count: bytes.count)
    case 17...: throw HeaderError.tooLong(count: bytes.count)
    default: break
    }
    return try bytes.withUnsafeBytes { raw in
        guard raw[0] == 1 else { throw HeaderError.unknownVersion(raw[0]) }
        return Header(
            version: raw[0], kind: raw[1],
            length: networkToHost16(raw.loadUnaligned(fromByteOffset: 2, as: UInt16.self)),
            sequence: networkToHost32(raw.loadUnaligned(fromByteOffset: 4, as: UInt32.self)),
            timestamp: networkToHost64(raw.loadUnaligned(fromByteOffset: 8, as: UInt64.self)))
    }
}
