// Head and payload apart: who sends with sendmsg need not put them together.
import Course

func encodeFrame(_ opcode: Opcode, _ payload: [UInt8], isFinal: Bool = true, mask: [UInt8]? = nil) -> [UInt8] {
    var frame = frameHead(opcode, payload.count, isFinal: isFinal, mask: mask)
    let start = frame.count
    frame += payload
    if let mask {
        frame.withUnsafeMutableBytes { applyMask(mask, to: $0[start...]) }
    }
    return frame
}

func frameHead(_ opcode: Opcode, _ length: Int, isFinal: Bool, mask: [UInt8]?) -> [UInt8] {
    let digits = length < 126 ? 0 : length < 65_536 ? 2 : 8
    let short = digits == 0 ? UInt8(length) : digits == 2 ? 126 : 127
    var head = [opcode.rawValue | (isFinal ? 0x80 : 0), short | (mask == nil ? 0 : 0x80)]
    for place in (0..<digits).reversed() { head.append(UInt8(truncatingIfNeeded: length >> (8 * place))) }
    return head + (mask ?? [])
}

/// - Parameter mask: turned so that its first byte is for the first of these.
func applyMask(_ mask: [UInt8], to bytes: Slice<UnsafeMutableRawBufferPointer>) {
    let part = UnsafeMutableRawBufferPointer(rebasing: bytes)
    let key = UInt32(mask[0]) | UInt32(mask[1]) << 8 | UInt32(mask[2]) << 16 | UInt32(mask[3]) << 24
    var index = 0
    while index + 4 <= part.count {
        let word = part.loadUnaligned(fromByteOffset: index, as: UInt32.self) ^ key.littleEndian
        part.storeBytes(of: word, toByteOffset: index, as: UInt32.self)
        index += 4
    }
    while index < part.count {
        part[index] ^= mask[index & 3]
        index += 1
    }
}
