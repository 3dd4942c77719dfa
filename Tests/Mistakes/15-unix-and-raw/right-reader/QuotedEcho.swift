import Course

func parseQuotedEcho(_ packet: [UInt8]) throws -> QuotedEcho {
    let outer = try readHeader(packet[...], whole: true)
    if outer.proto != 1 { throw PacketError.notICMP }
    var error = try Message(outer.body, isChecked: true)
    if ![3, 11].contains(error.type) { throw PacketError.otherType }
    try error.rest.skip(4)

    let inner = try readHeader(error.rest.rest, whole: false)
    if inner.proto != 1 { throw PacketError.notICMP }
    var request = try Message(inner.body, isChecked: false)
    if request.type != 8 || request.code != 0 { throw PacketError.otherType }
    return QuotedEcho(
        source: outer.source, type: error.type, code: error.code, identifier: try request.rest.number(),
        sequence: try request.rest.number())
}
