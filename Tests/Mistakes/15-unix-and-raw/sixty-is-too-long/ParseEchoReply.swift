import Course

/// Goes through bytes from the front, and throws where there are none left.
struct Cursor {
    private(set) var rest: ArraySlice<UInt8>

    init(_ bytes: ArraySlice<UInt8>) { rest = bytes }

    mutating func byte() throws -> UInt8 {
        guard let first = rest.popFirst() else { throw PacketError.truncated }
        return first
    }

    mutating func word() throws -> UInt16 { UInt16(try byte()) << 8 | UInt16(try byte()) }

    mutating func skip(_ count: Int) throws {
        guard rest.count >= count else { throw PacketError.truncated }
        rest.removeFirst(count)
    }
}

func parseEchoReply(_ packet: [UInt8], hasHeader: Bool) throws -> EchoReply {
    var message = packet[...]
    if hasHeader { message = try IPv4Packet(message).icmp() }
    try checkMessage(message)
    var cursor = Cursor(message)
    guard try cursor.word() == 0 else { throw PacketError.otherType }
    try cursor.skip(2)
    let identifier = try cursor.word()
    let sequence = try cursor.word()
    return EchoReply(identifier: identifier, sequence: sequence, payload: Array(cursor.rest))
}

func checkMessage(_ message: ArraySlice<UInt8>) throws {
    if message.count < 8 { throw PacketError.truncated }
    if internetChecksum(message) != 0 { throw PacketError.wrongChecksum }
}

struct IPv4Packet {
    /// A header has twenty bytes, and options up to sixty.
    private static let headerLengths = 20..<60

    let content: ArraySlice<UInt8>
    let protocolNumber: UInt8
    let source: String

    init(_ packet: ArraySlice<UInt8>, isQuote: Bool = false) throws {
        if packet.count < 20 { throw PacketError.truncated }
        var cursor = Cursor(packet)
        let first = try cursor.byte()
        guard first / 16 == 4 else { throw PacketError.notIPv4 }
        let length = Int(first % 16) * 4
        guard IPv4Packet.headerLengths.contains(length) else { throw PacketError.truncated }
        try cursor.skip(1)
        let total = Int(try cursor.word())
        guard length <= total, length <= packet.count, isQuote || total <= packet.count else {
            throw PacketError.truncated
        }
        try cursor.skip(5)
        protocolNumber = try cursor.byte()
        try cursor.skip(2)
        let address = try (0..<4).map { _ in try cursor.byte() }
        source = "\(address[0]).\(address[1]).\(address[2]).\(address[3])"
        content = packet.prefix(total).dropFirst(length)
    }

    func icmp() throws -> ArraySlice<UInt8> {
        if protocolNumber != 1 { throw PacketError.notICMP }
        return content
    }
}

func number(_ bytes: ArraySlice<UInt8>, at offset: Int) -> UInt16 {
    let high = bytes.index(bytes.startIndex, offsetBy: offset)
    return UInt16(bytes[high]) << 8 | UInt16(bytes[high + 1])
}
