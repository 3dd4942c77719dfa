import Course

func encodeFrame(_ opcode: Opcode, _ payload: [UInt8], isFinal: Bool = true, mask: [UInt8]? = nil) -> [UInt8] {
    var frame: [UInt8] = []
    frame.reserveCapacity(14 + payload.count)
    frame.append(0x80 | opcode.rawValue)
    let maskBit: UInt8 = mask == nil ? 0 : 0x80
    switch payload.count {
    case ...125: frame.append(maskBit | UInt8(payload.count))
    case ...0xFFFF:
        frame.append(maskBit | 126)
        frame.append(UInt8(payload.count >> 8))
        frame.append(UInt8(payload.count & 0xFF))
    default:
        frame.append(maskBit | 127)
        for shift in stride(from: 56, through: 0, by: -8) { frame.append(UInt8(payload.count >> shift & 0xFF)) }
    }
    guard let mask else { return frame + payload }
    frame += mask
    let start = frame.count
    frame += payload
    frame.withUnsafeMutableBytes { applyMask(mask, to: $0[start...]) }
    return frame
}

func applyMask(_ mask: [UInt8], to bytes: Slice<UnsafeMutableRawBufferPointer>) {
    let bytes = UnsafeMutableRawBufferPointer(rebasing: bytes)
    let half = mask.withUnsafeBytes { UInt64($0.loadUnaligned(as: UInt32.self)) }
    let word = half << 32 | half
    let whole = bytes.count & ~7
    for offset in stride(from: 0, to: whole, by: 8) {
        let masked = bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self) ^ word
        bytes.storeBytes(of: masked, toByteOffset: offset, as: UInt64.self)
    }
    for offset in whole..<bytes.count { bytes[offset] ^= mask[offset & 3] }
}
