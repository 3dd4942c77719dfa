import Course

func parseEchoReply(_ packet: [UInt8], hasHeader: Bool) throws -> EchoReply {
    var message = packet
    if hasHeader {
        message = try messageBehindHeader(packet)
    }
    try requireWholeMessage(message)
    let type = message[0]
    let code = message[1]
    if type != 0 {
        throw PacketError.otherType
    }
    if code != 0 {
        throw PacketError.otherType
    }
    let identifier = UInt16(message[4]) * 256 + UInt16(message[5])
    let sequence = UInt16(message[6]) * 256 + UInt16(message[7])
    var payload: [UInt8] = []
    var index = 8
    while index < message.count {
        payload.append(message[index])
        index += 1
    }
    return EchoReply(identifier: identifier, sequence: sequence, payload: payload)
}

/// The ICMP message of a whole packet, without what lies behind its total length.
func messageBehindHeader(_ packet: [UInt8]) throws -> [UInt8] {
    if packet.count < 20 {
        throw PacketError.truncated
    }
    let version = packet[0] / 16
    if version != 4 {
        throw PacketError.notIPv4
    }
    let headerLength = Int(packet[0] % 16) * 4
    let totalLength = Int(packet[2]) * 256 + Int(packet[3])
    if headerLength < 20 {
        throw PacketError.truncated
    }
    if headerLength > totalLength {
        throw PacketError.truncated
    }
    if totalLength > packet.count {
        throw PacketError.truncated
    }
    if packet[9] != 1 {
        throw PacketError.notICMP
    }
    var message: [UInt8] = []
    var index = headerLength
    while index < totalLength {
        message.append(packet[index])
        index += 1
    }
    return message
}

func requireWholeMessage(_ message: [UInt8]) throws {
    if message.count < 8 {
        throw PacketError.truncated
    }
    // Nothing but zeros: the sum is 0, its complement ffff and not 0.
    var isAllZero = true
    for byte in message {
        if byte != 0 {
            isAllZero = false
        }
    }
    if isAllZero {
        throw PacketError.wrongChecksum
    }
    // What the sender has written must be what we compute, with zeros in its place. 0 and ffff are the same number there.
    var blank = message
    blank[2] = 0
    blank[3] = 0
    let computed = internetChecksum(blank[...])
    let written = UInt16(message[2]) * 256 + UInt16(message[3])
    if computed % 65_535 != written % 65_535 {
        throw PacketError.wrongChecksum
    }
}

func sourceOf(_ packet: [UInt8]) -> String {
    var text = String(packet[12])
    for index in 13...15 {
        text += "."
        text += String(packet[index])
    }
    return text
}
