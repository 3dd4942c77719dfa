import Course

func parseEchoReply(_ packet: [UInt8], hasHeader: Bool) throws -> EchoReply {
    let message = try IPv4Packet(packet[...]).icmp()
    try checkMessage(message)
    guard message[message.startIndex] == 0, message[message.startIndex + 1] == 0 else { throw PacketError.otherType }
    return EchoReply(
        identifier: number(message, at: 4), sequence: number(message, at: 6), payload: Array(message.dropFirst(8)))
}

/// Long enough for every ICMP message that is looked at here, and with a right checksum.
func checkMessage(_ message: ArraySlice<UInt8>) throws {
    guard message.count >= 8 else { throw PacketError.truncated }
    guard internetChecksum(message) == 0 else { throw PacketError.wrongChecksum }
}

/// What is read of an IPv4 header (RFC 791).
struct IPv4Packet {
    /// The bytes behind the header, options included in it.
    let content: ArraySlice<UInt8>
    let protocolNumber: UInt8
    let source: String

    /// - Parameter isQuote: a quote holds the beginning of a packet only, so its total length says more than is there.
    init(_ packet: ArraySlice<UInt8>, isQuote: Bool = false) throws {
        guard packet.count >= 20 else { throw PacketError.truncated }
        let first = packet[packet.startIndex]
        guard first >> 4 == 4 else { throw PacketError.notIPv4 }
        // In words of four bytes: 5 without options, at most 15.
        let headerLength = Int(first & 0x0F) * 4
        let total = Int(number(packet, at: 2))
        guard headerLength >= 20, headerLength <= packet.count, headerLength <= total, isQuote || total <= packet.count
        else { throw PacketError.truncated }
        // What lies behind the total length is padding of the network below, not part of the packet.
        content = packet.prefix(total).dropFirst(headerLength)
        protocolNumber = packet[packet.startIndex + 9]
        source = packet.dropFirst(12).prefix(4).map { String($0) }.joined(separator: ".")
    }

    func icmp() throws -> ArraySlice<UInt8> {
        guard protocolNumber == 1 else { throw PacketError.notICMP }
        return content
    }
}

/// Two bytes, big-endian, counted from the beginning of the slice.
func number(_ bytes: ArraySlice<UInt8>, at offset: Int) -> UInt16 {
    UInt16(bytes[bytes.startIndex + offset]) << 8 | UInt16(bytes[bytes.startIndex + offset + 1])
}
