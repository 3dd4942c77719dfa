import Course

func parseQuotedEcho(_ packet: [UInt8]) throws -> QuotedEcho {
    let outer = try IPv4Packet(packet[...])
    let message = try outer.icmp()
    try checkMessage(message)
    let type = message[message.startIndex]
    guard type == 11 || type == 3 else { throw PacketError.otherType }

    let quoted = try IPv4Packet(message.dropFirst(8)).icmp()
    guard quoted.count >= 8 else { throw PacketError.truncated }
    guard quoted[quoted.startIndex] == 8, quoted[quoted.startIndex + 1] == 0 else { throw PacketError.otherType }
    return QuotedEcho(
        source: outer.source, type: type, code: message[message.startIndex + 1], identifier: number(quoted, at: 4),
        sequence: number(quoted, at: 6))
}
