import Course

func frameHead(_ opcode: Opcode, _ count: Int, isFinal: Bool, mask: [UInt8]?) -> [UInt8] {
    var head: [UInt8] = [(isFinal ? 0x80 : 0) | opcode.rawValue]
    let m: UInt8 = mask == nil ? 0 : 0x80
    switch count {
    case ..<126: head.append(m | UInt8(count))
    case ..<65_536: head += [m | 126, UInt8(count >> 8), UInt8(count & 255)]
    default: head += [m | 127] + stride(from: 56, through: 0, by: -8).map { UInt8(count >> $0 & 255) }
    }
    return head + (mask ?? [])
}

func encodeFrame(_ opcode: Opcode, _ payload: [UInt8], isFinal: Bool = true, mask: [UInt8]? = nil) -> [UInt8] {
    var frame = frameHead(opcode, payload.count, isFinal: isFinal, mask: mask)
    let start = frame.count
    frame += payload
    if let mask {
        frame.withUnsafeMutableBufferPointer { bytes in
            var i = start
            while i < bytes.count {
                bytes[i] ^= mask[(i - start) & 3]
                i += 1
            }
        }
    }
    return frame
}
