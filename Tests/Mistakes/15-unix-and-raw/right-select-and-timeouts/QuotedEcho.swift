import Course
import Foundation

func parseQuotedEcho(_ packet: [UInt8]) throws -> QuotedEcho {
    let outer = try icmp(in: packet, hasHeader: true)
    let type = outer.content[0]
    guard type == 3 || type == 11 else { throw PacketError.otherType }
    let quote = Array(outer.content.dropFirst(8))
    guard quote.count >= 20 else { throw PacketError.truncated }
    guard quote[0] >> 4 == 4 else { throw PacketError.notIPv4 }
    let head = Int(quote[0] & 15) << 2
    guard head >= 20 else { throw PacketError.truncated }
    guard quote.count >= head + 8 else { throw PacketError.truncated }
    guard quote[9] == 1 else { throw PacketError.notICMP }
    let echo = quote.suffix(from: head).prefix(8).map(UInt16.init)
    guard echo[0] == 8, echo[1] == 0 else { throw PacketError.otherType }
    return QuotedEcho(
        source: outer.source, type: type, code: outer.content[1], identifier: (echo[4] << 8) + echo[5],
        sequence: (echo[6] << 8) + echo[7])
}
