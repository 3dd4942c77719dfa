import Course
import Foundation

/// Where things are in a packet; nothing is copied until all of it is known to be there.
struct Layout {
    enum Extent { case all, beginning }
    let bytes: [UInt8]
    let icmp: Range<Int>

    init(_ bytes: [UInt8], from start: Int = 0, _ extent: Extent = .all) throws {
        self.bytes = bytes
        let here = bytes.count - start
        guard here >= 20 else { throw PacketError.truncated }
        guard bytes[start] >> 4 == 4 else { throw PacketError.notIPv4 }
        let header = Int(bytes[start] & 15) * 4
        let total = Int(bytes[start + 2]) << 8 + Int(bytes[start + 3])
        guard (20...60).contains(header), header <= total, header <= here else { throw PacketError.truncated }
        guard extent == .beginning || total <= here else { throw PacketError.truncated }
        guard bytes[start + 9] == 1 else { throw PacketError.notICMP }
        icmp = start + header..<start + min(total, here)
        guard icmp.count >= 8 else { throw PacketError.truncated }
    }

    init(bare bytes: [UInt8]) throws {
        self.bytes = bytes
        icmp = 0..<bytes.count
        guard icmp.count >= 8 else { throw PacketError.truncated }
    }

    func verified() throws -> Layout {
        guard internetChecksum(bytes[icmp]) == 0 else { throw PacketError.wrongChecksum }
        return self
    }

    subscript(offset: Int) -> UInt8 { bytes[icmp.lowerBound + offset] }
    var identifier: UInt16 { UInt16(self[4]) << 8 | UInt16(self[5]) }
    var sequence: UInt16 { UInt16(self[6]) << 8 | UInt16(self[7]) }
}

func parseEchoReply(_ packet: [UInt8], hasHeader: Bool) throws -> EchoReply {
    let layout = try (hasHeader ? Layout(packet) : Layout(bare: packet)).verified()
    guard layout[0] == 0, layout[1] == 0 else { throw PacketError.otherType }
    return EchoReply(
        identifier: layout.identifier, sequence: layout.sequence, payload: Array(packet[layout.icmp].dropFirst(8)))
}
