import Course

func parseEchoReply(_ packet: [UInt8], hasHeader: Bool) throws -> EchoReply {
    var message = packet[...]
    if hasHeader { message = try IPv4Packet(message).icmp() }
    try checkMessage(message)
    var cursor = Cursor(message)
    let typeAndCode = cursor.word()
    if typeAndCode != 0 { throw PacketError.otherType }
    cursor.skip(2)
    let identifier = cursor.word()
    let sequence = cursor.word()
    return EchoReply(identifier: identifier, sequence: sequence, payload: cursor.remaining())
}

/// Goes through bytes from the front. Whoever uses it has looked before that there are enough.
struct Cursor {
    private var bytes: ArraySlice<UInt8>
    init(_ bytes: ArraySlice<UInt8>) { self.bytes = bytes }
    mutating func byte() -> UInt8 { bytes.removeFirst() }
    mutating func word() -> UInt16 {
        let high = byte()
        return UInt16(high) << 8 | UInt16(byte())
    }
    mutating func skip(_ count: Int) { bytes.removeFirst(count) }
    mutating func remaining() -> [UInt8] {
        defer { bytes = [] }
        return Array(bytes)
    }
}

struct IPv4Packet {
    let source: String
    private let kind: UInt8
    private let inner: ArraySlice<UInt8>

    init(_ packet: ArraySlice<UInt8>, isQuote: Bool = false) throws {
        if packet.count < 20 { throw PacketError.truncated }
        var cursor = Cursor(packet)
        // 0x45 to 0x4F: what else begins here is no header of IPv4, which has at least five words.
        let start = cursor.byte()
        guard (0x45...0x4F).contains(start) else { throw PacketError.notIPv4 }
        let header = Int(start & 15) << 2
        cursor.skip(1)
        let total = Int(cursor.word())
        cursor.skip(5)
        kind = cursor.byte()
        cursor.skip(2)
        source = (0..<4).map { _ in "\(cursor.byte())" }.joined(separator: ".")
        switch (header, total) {
        case (let header, let total) where header > total || header > packet.count: throw PacketError.truncated
        case (_, let total) where total > packet.count && !isQuote: throw PacketError.truncated
        default: inner = packet.prefix(total).dropFirst(header)
        }
    }

    func icmp() throws -> ArraySlice<UInt8> {
        if kind != 1 { throw PacketError.notICMP }
        return inner
    }
}

func checkMessage(_ message: ArraySlice<UInt8>) throws {
    if message.count < 8 { throw PacketError.truncated }
    if internetChecksum(message) != 0 { throw PacketError.wrongChecksum }
}

func number(_ bytes: ArraySlice<UInt8>, at offset: Int) -> UInt16 {
    var cursor = Cursor(bytes.dropFirst(offset))
    return cursor.word()
}
