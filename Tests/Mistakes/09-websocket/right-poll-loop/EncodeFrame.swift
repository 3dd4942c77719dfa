import Course

func encodeFrame(_ opcode: Opcode, _ payload: [UInt8], isFinal: Bool = true, mask: [UInt8]? = nil) -> [UInt8] {
    let masked: UInt8 = mask == nil ? 0 : 128
    var frame = [opcode.rawValue + (isFinal ? 128 : 0)]
    frame.reserveCapacity(payload.count + 14)
    if payload.count < 126 {
        frame.append(masked + UInt8(payload.count))
    } else if let short = UInt16(exactly: payload.count) {
        frame.append(masked + 126)
        withUnsafeBytes(of: short.bigEndian) { frame.append(contentsOf: $0) }
    } else {
        frame.append(masked + 127)
        withUnsafeBytes(of: UInt64(payload.count).bigEndian) { frame.append(contentsOf: $0) }
    }
    guard let mask else { return frame + payload }
    frame += mask
    for (index, byte) in payload.enumerated() { frame.append(byte ^ mask[index % 4]) }
    return frame
}
