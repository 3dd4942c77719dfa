import Course

func parseQuotedEcho(_ packet: [UInt8]) throws -> QuotedEcho {
    let (message, router) = try content(of: packet[...], whole: true)
    try checkMessage(message)
    let type = byte(message, 0)
    let code = byte(message, 1)
    switch (type, code) {
    case (11, 0), (3, 0): break
    default: throw PacketError.otherType
    }
    let (request, _) = try content(of: message.dropFirst(8), whole: false)
    guard request.count >= 8 else { throw PacketError.truncated }
    guard byte(request, 0) == 8 && byte(request, 1) == 0 else { throw PacketError.otherType }
    return QuotedEcho(
        source: router, type: type, code: code, identifier: pair(request, 4), sequence: pair(request, 6))
}

/// What lies behind an IPv4 header, and who sent it.
///
/// - Parameter whole: all of the packet is there; of a quote only its beginning is.
private func content(of packet: ArraySlice<UInt8>, whole: Bool) throws -> (ArraySlice<UInt8>, source: String) {
    guard packet.count >= 20 else { throw PacketError.truncated }
    guard byte(packet, 0) / 16 == 4 else { throw PacketError.notIPv4 }
    let header = 4 * Int(byte(packet, 0) % 16)
    let total = Int(pair(packet, 2))
    let fits = header >= 20 && header <= min(packet.count, total) && (!whole || total <= packet.count)
    guard fits else { throw PacketError.truncated }
    guard byte(packet, 9) == 1 else { throw PacketError.notICMP }
    let source = (12...15).map { String(byte(packet, $0)) }.joined(separator: ".")
    return (packet.prefix(total).dropFirst(header), source)
}

private func byte(_ bytes: ArraySlice<UInt8>, _ offset: Int) -> UInt8 { bytes[bytes.startIndex + offset] }

private func pair(_ bytes: ArraySlice<UInt8>, _ offset: Int) -> UInt16 {
    UInt16(byte(bytes, offset)) * 256 + UInt16(byte(bytes, offset + 1))
}
