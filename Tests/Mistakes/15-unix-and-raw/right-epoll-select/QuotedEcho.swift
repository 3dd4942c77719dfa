import Course

func parseQuotedEcho(_ packet: [UInt8]) throws -> QuotedEcho {
    let router = try IPHeader(packet[...], complete: true)
    let error = try ICMPHeader(router.body, checked: true)
    guard error.type == 3 || error.type == 11 else { throw PacketError.otherType }
    let ours = try ICMPHeader(try IPHeader(error.payload, complete: false).body, checked: false)
    guard ours.type == 8 && ours.code == 0 else { throw PacketError.otherType }
    return QuotedEcho(
        source: router.source.map { "\($0)" }.joined(separator: "."), type: error.type, code: error.code,
        identifier: ours.identifier, sequence: ours.sequence)
}
