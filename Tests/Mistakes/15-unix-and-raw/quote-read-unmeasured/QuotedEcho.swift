import Course

/// The outer packet is the router's; behind 8 bytes of ICMP it quotes ours: its IPv4 header, and 8 bytes of it at least
/// (RFC 792), which are just those that tell one echo request from another.
func parseQuotedEcho(_ packet: [UInt8]) throws -> QuotedEcho {
    let outer = try IPv4Packet(packet[...])
    let message = try outer.icmp()
    try checkMessage(message)
    let type = message[message.startIndex]
    guard type == 11 || type == 3 else { throw PacketError.otherType }

    let quoted = try IPv4Packet(message.dropFirst(8), isQuote: true).icmp()
    // The checksum of the quoted request is not looked at: the rest of what it covers is cut off.
    guard quoted[quoted.startIndex] == 8, quoted[quoted.startIndex + 1] == 0 else { throw PacketError.otherType }
    return QuotedEcho(
        source: outer.source, type: type, code: message[message.startIndex + 1], identifier: number(quoted, at: 4),
        sequence: number(quoted, at: 6))
}
