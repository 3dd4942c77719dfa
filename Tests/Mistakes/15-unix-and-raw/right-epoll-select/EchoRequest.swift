import Course

func echoRequest(identifier: UInt16, sequence: UInt16, payload: [UInt8]) -> [UInt8] {
    var packet = [UInt8](repeating: 0, count: 8 + payload.count)
    packet.withUnsafeMutableBytes {
        $0.storeBytes(of: UInt16(0x0800).bigEndian, toByteOffset: 0, as: UInt16.self)
        $0.storeBytes(of: identifier.bigEndian, toByteOffset: 4, as: UInt16.self)
        $0.storeBytes(of: sequence.bigEndian, toByteOffset: 6, as: UInt16.self)
    }
    packet.replaceSubrange(8..., with: payload)
    let sum = internetChecksum(packet[...])
    packet.withUnsafeMutableBytes { $0.storeBytes(of: sum.bigEndian, toByteOffset: 2, as: UInt16.self) }
    return packet
}

/// 32 bits are enough for 65,535 bytes, but here any number of them may come: the carries go back every time.
func internetChecksum(_ bytes: ArraySlice<UInt8>) -> UInt16 {
    var sum: UInt32 = 0
    var isHigh = true
    for byte in bytes {
        sum += isHigh ? UInt32(byte) << 8 : UInt32(byte)
        sum = (sum & 0xFFFF) + (sum >> 16)
        isHigh.toggle()
    }
    return UInt16(sum) ^ 0xFFFF
}
