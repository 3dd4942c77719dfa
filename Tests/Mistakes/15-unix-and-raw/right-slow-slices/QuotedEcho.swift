import Course

func parseQuotedEcho(_ packet: [UInt8]) throws -> QuotedEcho {
    let message = try messageBehindHeader(packet)
    try requireWholeMessage(message)
    let type = message[0]
    let code = message[1]
    if type != 11 && type != 3 {
        throw PacketError.otherType
    }

    var quote: [UInt8] = []
    for index in 8..<message.count {
        quote.append(message[index])
    }
    if quote.count < 20 {
        throw PacketError.truncated
    }
    if quote[0] / 16 != 4 {
        throw PacketError.notIPv4
    }
    let quotedHeaderLength = Int(quote[0] % 16) * 4
    if quotedHeaderLength < 20 {
        throw PacketError.truncated
    }
    if quotedHeaderLength > quote.count {
        throw PacketError.truncated
    }
    if quote[9] != 1 {
        throw PacketError.notICMP
    }
    if quote.count - quotedHeaderLength < 8 {
        throw PacketError.truncated
    }
    let first = quotedHeaderLength
    if quote[first] != 8 {
        throw PacketError.otherType
    }
    if quote[first + 1] != 0 {
        throw PacketError.otherType
    }
    let identifier = UInt16(quote[first + 4]) * 256 + UInt16(quote[first + 5])
    let sequence = UInt16(quote[first + 6]) * 256 + UInt16(quote[first + 7])
    return QuotedEcho(source: sourceOf(packet), type: type, code: code, identifier: identifier, sequence: sequence)
}
