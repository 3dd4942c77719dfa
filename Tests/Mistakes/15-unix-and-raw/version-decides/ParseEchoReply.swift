import Course

/// Reads from the front of some bytes, and never behind their end.
struct Reader {
    private(set) var rest: ArraySlice<UInt8>

    mutating func byte() throws -> UInt8 {
        guard let byte = rest.popFirst() else { throw PacketError.truncated }
        return byte
    }

    mutating func word() throws -> UInt16 { UInt16(try byte()) << 8 | UInt16(try byte()) }

    mutating func skip(_ count: Int) throws {
        guard count <= rest.count else { throw PacketError.truncated }
        rest = rest.dropFirst(count)
    }
}

struct IPv4Packet {
    let content: ArraySlice<UInt8>
    let protocolNumber: UInt8
    let source: String

    init(_ packet: ArraySlice<UInt8>, isQuote: Bool = false) throws {
        if packet.count < 20 { throw PacketError.truncated }
        var reader = Reader(rest: packet)
        let first = try reader.byte()
        if first >> 4 != 4 { throw PacketError.notIPv4 }
        let header = 4 * Int(first & 15)
        try reader.skip(1)
        let total = Int(try reader.word())
        if header < 20 || header > total || header > packet.count { throw PacketError.truncated }
        if !isQuote && total > packet.count { throw PacketError.truncated }
        try reader.skip(5)
        protocolNumber = try reader.byte()
        try reader.skip(2)
        source = try (0..<4).map { _ in String(try reader.byte()) }.joined(separator: ".")
        try reader.skip(header - 16)
        content = reader.rest.prefix(total - header)
    }

    func icmp() throws -> ArraySlice<UInt8> {
        if protocolNumber != 1 { throw PacketError.notICMP }
        return content
    }
}

func checkMessage(_ message: ArraySlice<UInt8>) throws {
    if message.count < 8 { throw PacketError.truncated }
    if internetChecksum(message) != 0 { throw PacketError.wrongChecksum }
}

func number(_ bytes: ArraySlice<UInt8>, at offset: Int) -> UInt16 {
    bytes.dropFirst(offset).prefix(2).reduce(0) { $0 << 8 | UInt16($1) }
}

/// An ICMP message begins with its type, and none of those that come here has 4 in its high four bits: so the first byte
/// says whether there is a header.
func parseEchoReply(_ packet: [UInt8], hasHeader: Bool) throws -> EchoReply {
    var message = packet[...]
    if hasHeader, let first = packet.first, first >> 4 == 4 { message = try IPv4Packet(packet[...]).icmp() }
    try checkMessage(message)
    var reader = Reader(rest: message)
    guard try reader.word() == 0 else { throw PacketError.otherType }
    _ = try reader.word()
    return EchoReply(identifier: try reader.word(), sequence: try reader.word(), payload: Array(reader.rest))
}
