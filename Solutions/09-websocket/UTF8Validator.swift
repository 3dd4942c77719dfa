/// Is this UTF-8? Asked piece by piece: a character may be cut in two, and what is wrong is known at the first byte that
/// cannot stand where it stands (RFC 3629, section 4).
struct UTF8Validator {
    /// So many more bytes belong to the character that has begun,
    private var missing = 0
    /// and the next of them lies in here. Only after some first bytes is it less than 80…BF: that excludes longer forms
    /// than necessary, the halves of UTF-16's pairs (D800…DFFF), and what lies beyond 10FFFF.
    private var next: ClosedRange<UInt8> = 0x80...0xBF

    var isBetweenCharacters: Bool { missing == 0 }

    /// - Returns: false if these bytes cannot follow those before.
    mutating func accepts(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var index = 0
        while index < bytes.count {
            if missing == 0 {
                // Mostly it is ASCII: eight bytes at a time.
                while index + 8 <= bytes.count,
                    bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self) & 0x8080_8080_8080_8080 == 0
                { index += 8 }
                if index == bytes.count { break }
            }
            guard accepts(bytes[index]) else { return false }
            index += 1
        }
        return true
    }

    private mutating func accepts(_ byte: UInt8) -> Bool {
        if missing > 0 {
            guard next.contains(byte) else { return false }
            missing -= 1
            next = 0x80...0xBF
            return true
        }
        switch byte {
        case 0x00...0x7F: break
        case 0xC2...0xDF: missing = 1
        case 0xE0: (missing, next) = (2, 0xA0...0xBF)
        case 0xED: (missing, next) = (2, 0x80...0x9F)
        case 0xE1...0xEF: missing = 2
        case 0xF0: (missing, next) = (3, 0x90...0xBF)
        case 0xF1...0xF3: missing = 3
        case 0xF4: (missing, next) = (3, 0x80...0x8F)
        default: return false
        }
        return true
    }
}
