import Course

func parseEchoReply(_ packet: [UInt8], hasHeader: Bool) throws -> EchoReply {
    let message = hasHeader ? try IPv4Packet(packet[...]).icmp() : packet[...]
    try checkMessage(message)
    let m = Array(message)
    guard m[0] == 0 && m[1] == 0 else { throw PacketError.otherType }
    return EchoReply(identifier: number(message, at: 4), sequence: number(message, at: 6), payload: Array(m[8...]))
}

func checkMessage(_ message: ArraySlice<UInt8>) throws {
    if message.count < 8 { throw PacketError.truncated }
    if internetChecksum(message) != 0 { throw PacketError.wrongChecksum }
}

struct IPv4Packet {
    let content: ArraySlice<UInt8>
    let protocolNumber: UInt8
    let source: String

    init(_ packet: ArraySlice<UInt8>, isQuote: Bool = false) throws {
        let bytes = Array(packet)
        if bytes.count < 20 { throw PacketError.truncated }
        if bytes[0] / 16 != 4 { throw PacketError.notIPv4 }
        let header = Int(bytes[0] % 16) * 4
        let total = Int(bytes[2]) * 256 + Int(bytes[3])
        // Both lengths must lie within what was received.
        if header < 20 || header > bytes.count { throw PacketError.truncated }
        if total < 20 || !isQuote && total > bytes.count { throw PacketError.truncated }
        content = bytes[header..<min(total, bytes.count)]
        protocolNumber = bytes[9]
        source = "\(bytes[12]).\(bytes[13]).\(bytes[14]).\(bytes[15])"
    }

    func icmp() throws -> ArraySlice<UInt8> {
        if protocolNumber != 1 { throw PacketError.notICMP }
        return content
    }
}

func number(_ bytes: ArraySlice<UInt8>, at offset: Int) -> UInt16 {
    let at = bytes.startIndex + offset
    return UInt16(bytes[at]) << 8 + UInt16(bytes[at + 1])
}
