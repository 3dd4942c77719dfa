import Sockets

/// RFC 792, put together word by word, as the checksum wants it.
func echoRequest(identifier: UInt16, sequence: UInt16, payload: [UInt8]) -> [UInt8] {
    var words: [UInt16] = [0x0800, 0, identifier, sequence]
    words.reserveCapacity(4 + (payload.count + 1) / 2)
    for start in stride(from: 0, to: payload.count, by: 2) {
        // An odd last byte is the high half of its word.
        let low = start + 1 < payload.count ? UInt16(payload[start + 1]) : 0
        words.append(UInt16(payload[start]) << 8 | low)
    }
    words[1] = ~words.reduce(0, addWithCarry)
    return words.flatMap { [UInt8($0 >> 8), UInt8($0 & 0xFF)] }
}

/// RFC 1071.
func internetChecksum(_ bytes: ArraySlice<UInt8>) -> UInt16 {
    var sum: UInt16 = 0
    var rest = bytes
    while let high = rest.popFirst() {
        sum = addWithCarry(sum, UInt16(high) << 8 | UInt16(rest.popFirst() ?? 0))
    }
    return ~sum
}

/// One's complement: what overflows at the top comes in again at the bottom.
private func addWithCarry(_ a: UInt16, _ b: UInt16) -> UInt16 {
    let (sum, overflow) = a.addingReportingOverflow(b)
    return overflow ? sum + 1 : sum
}
