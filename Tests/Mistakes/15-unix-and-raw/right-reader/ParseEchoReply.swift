import Course

struct Reader {
    var rest: ArraySlice<UInt8>

    mutating func byte() throws -> UInt8 {
        guard let next = rest.popFirst() else { throw PacketError.truncated }
        return next
    }

    mutating func number() throws -> UInt16 { UInt16(try byte()) * 256 + UInt16(try byte()) }

    mutating func skip(_ count: Int) throws {
        guard rest.count >= count else { throw PacketError.truncated }
        rest.removeFirst(count)
    }
}

struct Header {
    var source: String
    var proto: UInt8
    var body: ArraySlice<UInt8>
}

func readHeader(_ bytes: ArraySlice<UInt8>, whole: Bool) throws -> Header {
    guard bytes.count >= 20 else { throw PacketError.truncated }
    var reader = Reader(rest: bytes)
    let first = try reader.byte()
    if first / 16 != 4 { throw PacketError.notIPv4 }
    let words = Int(first % 16)
    try reader.skip(1)
    let total = Int(try reader.number())
    try reader.skip(5)
    let proto = try reader.byte()
    try reader.skip(2)
    let source = try (0..<4).map { _ in "\(try reader.byte())" }.joined(separator: ".")
    if words < 5 || total < words * 4 || (whole && total > bytes.count) { throw PacketError.truncated }
    try reader.skip(4 + (words - 5) * 4)
    let body = reader.rest.prefix(min(reader.rest.count, total - words * 4))
    return Header(source: source, proto: proto, body: body)
}

struct Message {
    var type: UInt8
    var code: UInt8
    var rest: Reader

    init(_ bytes: ArraySlice<UInt8>, isChecked: Bool) throws {
        if bytes.count < 8 { throw PacketError.truncated }
        if isChecked && internetChecksum(bytes) != 0 { throw PacketError.wrongChecksum }
        rest = Reader(rest: bytes)
        type = try rest.byte()
        code = try rest.byte()
        try rest.skip(2)
    }
}

func parseEchoReply(_ packet: [UInt8], hasHeader: Bool) throws -> EchoReply {
    var bytes = packet[...]
    if hasHeader {
        let header = try readHeader(bytes, whole: true)
        if header.proto != 1 { throw PacketError.notICMP }
        bytes = header.body
    }
    var message = try Message(bytes, isChecked: true)
    if message.type != 0 || message.code != 0 { throw PacketError.otherType }
    return EchoReply(
        identifier: try message.rest.number(), sequence: try message.rest.number(), payload: Array(message.rest.rest))
}
