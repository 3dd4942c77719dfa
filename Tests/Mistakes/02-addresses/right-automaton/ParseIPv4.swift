import Course

private enum Dotted {
    /// A digit must come.
    case part
    /// A part that is 0: nothing but a dot or the end may follow.
    case zero
    /// A part that has a value and may go on.
    case number(Int)
}

func parseIPv4(_ text: String) -> [UInt8]? {
    var state = Dotted.part
    var word: UInt32 = 0
    var dots = 0
    for byte in text.utf8 {
        switch (state, byte) {
        case (.part, 0x30): state = .zero
        case (.part, 0x31...0x39): state = .number(Int(byte) - 0x30)
        case (.number(let value), 0x30...0x39):
            let next = value * 10 + Int(byte) - 0x30
            guard next < 256 else { return nil }
            state = .number(next)
        case (.zero, 0x2E), (.number, 0x2E):
            guard dots < 3 else { return nil }
            dots += 1
            word = word << 8 | value(state)
            state = .part
        default: return nil
        }
    }
    if case .part = state { return nil }
    guard dots == 3 else { return nil }
    word = word << 8 | value(state)
    return stride(from: 24, through: 0, by: -8).map { UInt8(truncatingIfNeeded: word >> $0) }
}

private func value(_ state: Dotted) -> UInt32 {
    if case .number(let value) = state { return UInt32(value) }
    return 0
}

/// The value of one or more ASCII digits, or nil. Not for more of them than an Int holds.
func decimal(_ digits: Substring.UTF8View) -> Int? {
    guard !digits.isEmpty, digits.count <= 18, digits.allSatisfy({ $0 &- 0x30 < 10 }) else { return nil }
    return Int(String(decoding: digits, as: UTF8.self))
}
