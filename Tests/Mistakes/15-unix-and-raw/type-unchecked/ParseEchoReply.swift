import Course

func parseEchoReply(_ packet: [UInt8], hasHeader: Bool) throws -> EchoReply {
    let message = hasHeader ? try IPv4Packet(packet[...]).icmp() : packet[...]
    try checkMessage(message)
    return EchoReply(
        identifier: number(message, at: 4), sequence: number(message, at: 6), payload: Array(message.dropFirst(8)))
}

func checkMessage(_ message: ArraySlice<UInt8>) throws {
    guard message.count >= 8 else { throw PacketError.truncated }
    guard internetChecksum(message) == 0 else { throw PacketError.wrongChecksum }
}

struct IPv4Packet {
    let content: ArraySlice<UInt8>
    let protocolNumber: UInt8
    let source: String

    init(_ packet: ArraySlice<UInt8>, isQuote: Bool = false) throws {
        guard packet.count >= 20 else { throw PacketError.truncated }
        let first = packet[packet.startIndex]
        guard first >> 4 == 4 else { throw PacketError.notIPv4 }
        let headerLength = Int(first & 0x0F) * 4
        let total = Int(number(packet, at: 2))
        guard headerLength >= 20, headerLength <= packet.count, headerLength <= total, isQuote || total <= packet.count
        else { throw PacketError.truncated }
        content = packet.prefix(total).dropFirst(headerLength)
        protocolNumber = packet[packet.startIndex + 9]
        source = packet.dropFirst(12).prefix(4).map { String($0) }.joined(separator: ".")
    }

    func icmp() throws -> ArraySlice<UInt8> {
        guard protocolNumber == 1 else { throw PacketError.notICMP }
        return content
    }
}

func number(_ bytes: ArraySlice<UInt8>, at offset: Int) -> UInt16 {
    UInt16(bytes[bytes.startIndex + offset]) << 8 | UInt16(bytes[bytes.startIndex + offset + 1])
}
