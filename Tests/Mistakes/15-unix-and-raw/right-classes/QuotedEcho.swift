import Course

func parseQuotedEcho(_ packet: [UInt8]) throws -> QuotedEcho {
    let outer = try Layout(packet).verified()
    switch outer[0] {
    case 3, 11:
        // The quote ends where the router's packet ends.
        let inner = try Layout(Array(packet[..<outer.icmp.upperBound]), from: outer.icmp.lowerBound + 8, .beginning)
        if inner[0] != 8 || inner[1] != 0 { throw PacketError.otherType }
        return QuotedEcho(
            source: dotted(packet), type: outer[0], code: outer[1], identifier: inner.identifier,
            sequence: inner.sequence)
    default: throw PacketError.otherType
    }
}

func dotted(_ packet: [UInt8]) -> String { "\(packet[12]).\(packet[13]).\(packet[14]).\(packet[15])" }
