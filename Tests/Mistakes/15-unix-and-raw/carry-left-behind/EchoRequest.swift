import Sockets

/// Type 8 and code 0, room for the checksum, then who asks and which question it is.
func echoRequest(identifier: UInt16, sequence: UInt16, payload: [UInt8]) -> [UInt8] {
    let words = [0x0800, 0, identifier, sequence]
    var packet = words.flatMap { [UInt8($0 / 256), UInt8($0 % 256)] } + payload
    let sum = internetChecksum(packet[...])
    packet.replaceSubrange(2..<4, with: [UInt8(sum / 256), UInt8(sum % 256)])
    return packet
}

func internetChecksum(_ bytes: ArraySlice<UInt8>) -> UInt16 {
    var total: UInt32 = 0
    var rest = bytes
    while let high = rest.popFirst() {
        total += UInt32(high) << 8 | UInt32(rest.popFirst() ?? 0)
    }
    // What does not fit into 16 bits is carried round to the other end.
    let carried = total & 0xffff + total >> 16
    return ~UInt16(truncatingIfNeeded: carried)
}
