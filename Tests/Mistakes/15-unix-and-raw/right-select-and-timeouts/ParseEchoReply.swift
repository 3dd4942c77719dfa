import Course
import Foundation

struct ICMP {
    var source: String
    var content: Data
    func word(_ i: Int) -> UInt16 { UInt16(content[i]) << 8 | UInt16(content[i + 1]) }
}

func icmp(in packet: [UInt8], hasHeader: Bool) throws -> ICMP {
    var source = ""
    var content = Data(packet)
    if hasHeader {
        guard packet.count >= 20 else { throw PacketError.truncated }
        guard packet[0] / 16 == 4 else { throw PacketError.notIPv4 }
        let head = Int(packet[0] % 16) * 4
        let total = Int(packet[2]) * 256 + Int(packet[3])
        guard head >= 20, head <= total, total <= packet.count else { throw PacketError.truncated }
        guard packet[9] == 1 else { throw PacketError.notICMP }
        source = packet[12..<16].map(String.init).joined(separator: ".")
        content = Data(packet[head..<total])
    }
    guard content.count >= 8 else { throw PacketError.truncated }
    guard internetChecksum(Array(content)[...]) == 0 else { throw PacketError.wrongChecksum }
    return ICMP(source: source, content: content)
}

func parseEchoReply(_ packet: [UInt8], hasHeader: Bool) throws -> EchoReply {
    let message = try icmp(in: packet, hasHeader: hasHeader)
    guard message.word(0) == 0 else { throw PacketError.otherType }
    return EchoReply(
        identifier: message.word(4), sequence: message.word(6), payload: Array(message.content.dropFirst(8)))
}
