import Course

/// Reads from front to back; asking for more than is there is .truncated.
struct Cursor {
    private(set) var rest: ArraySlice<UInt8>
    init(_ bytes: ArraySlice<UInt8>) { rest = bytes }

    mutating func byte() throws -> UInt8 {
        guard let byte = rest.popFirst() else { throw PacketError.truncated }
        return byte
    }
    mutating func word() throws -> UInt16 { UInt16(try byte()) * 256 + UInt16(try byte()) }
    mutating func skip(_ count: Int) throws {
        guard count <= rest.count else { throw PacketError.truncated }
        rest.removeFirst(count)
    }
}

struct IPHeader {
    var source: [UInt8] = []
    var body: ArraySlice<UInt8>

    init(_ bytes: ArraySlice<UInt8>, complete: Bool) throws {
        guard bytes.count >= 20 else { throw PacketError.truncated }
        var cursor = Cursor(bytes)
        let (version, words) = try cursor.byte().quotientAndRemainder(dividingBy: 16)
        guard version == 4 else { throw PacketError.notIPv4 }
        try cursor.skip(1)
        let total = Int(try cursor.word())
        try cursor.skip(5)
        let proto = try cursor.byte()
        try cursor.skip(2)
        for _ in 1...4 { source.append(try cursor.byte()) }
        guard words >= 5, Int(words) * 4 <= total, !complete || total <= bytes.count else {
            throw PacketError.truncated
        }
        try cursor.skip(Int(words) * 4 - 16)
        guard proto == 1 else { throw PacketError.notICMP }
        body = cursor.rest.prefix(total - Int(words) * 4)
    }
}

struct ICMPHeader {
    let type: UInt8
    let code: UInt8
    let identifier: UInt16
    let sequence: UInt16
    let payload: ArraySlice<UInt8>

    init(_ bytes: ArraySlice<UInt8>, checked: Bool) throws {
        guard bytes.count >= 8 else { throw PacketError.truncated }
        if checked && internetChecksum(bytes) != 0 { throw PacketError.wrongChecksum }
        var cursor = Cursor(bytes)
        type = try cursor.byte()
        code = try cursor.byte()
        try cursor.skip(2)
        identifier = try cursor.word()
        sequence = try cursor.word()
        payload = cursor.rest
    }
}

func parseEchoReply(_ packet: [UInt8], hasHeader: Bool) throws -> EchoReply {
    var bytes = packet[...]
    if hasHeader { bytes = try IPHeader(bytes, complete: true).body }
    let message = try ICMPHeader(bytes, checked: true)
    guard message.type == 0 && message.code == 0 else { throw PacketError.otherType }
    return EchoReply(identifier: message.identifier, sequence: message.sequence, payload: Array(message.payload))
}
