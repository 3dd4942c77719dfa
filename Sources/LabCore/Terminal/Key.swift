// What a terminal in raw mode sends for a key (ECMA-48, xterm's control sequences).

public enum Key: Equatable, Sendable {
    case character(Character)
    case control(Character)
    case enter, escape, up, down, left, right, pageUp, pageDown, home, end

    /// The keys in what one read brought. A lone ESC is the escape key: a sequence comes in one piece.
    public static func parse(_ bytes: [UInt8]) -> [Key] {
        var keys: [Key] = []
        var rest = bytes[...]
        while let first = rest.first {
            if first == 0x1b {
                let (key, length) = sequence(rest)
                if let key { keys.append(key) }
                rest = rest.dropFirst(length)
            } else if first == 0x0d || first == 0x0a {
                keys.append(.enter)
                rest = rest.dropFirst()
            } else if first < 0x20 {
                keys.append(.control(Character(UnicodeScalar(first + 0x60))))
                rest = rest.dropFirst()
            } else if first < 0x80 {
                keys.append(.character(Character(UnicodeScalar(first))))
                rest = rest.dropFirst()
            } else {
                // One character of UTF-8, or a byte that is none.
                let length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc0 ? 2 : 1
                if let character = String(decoding: rest.prefix(length), as: UTF8.self).first {
                    keys.append(.character(character))
                }
                rest = rest.dropFirst(length)
            }
        }
        return keys
    }

    /// `ESC [ A`, `ESC O A`, `ESC [ 5 ~`; an unknown sequence is swallowed whole.
    private static func sequence(_ bytes: ArraySlice<UInt8>) -> (Key?, Int) {
        let bytes = Array(bytes)
        guard bytes.count > 1, bytes[1] == UInt8(ascii: "[") || bytes[1] == UInt8(ascii: "O") else {
            return (.escape, 1)
        }
        guard let end = bytes[2...].firstIndex(where: { (0x40...0x7e).contains($0) }) else { return (nil, bytes.count) }
        let parameters = String(decoding: bytes[2..<end], as: UTF8.self)
        let key: Key?
        switch (bytes[end], parameters) {
        case (UInt8(ascii: "A"), _): key = .up
        case (UInt8(ascii: "B"), _): key = .down
        case (UInt8(ascii: "C"), _): key = .right
        case (UInt8(ascii: "D"), _): key = .left
        case (UInt8(ascii: "H"), _), (UInt8(ascii: "~"), "1"), (UInt8(ascii: "~"), "7"): key = .home
        case (UInt8(ascii: "F"), _), (UInt8(ascii: "~"), "4"), (UInt8(ascii: "~"), "8"): key = .end
        case (UInt8(ascii: "~"), "5"): key = .pageUp
        case (UInt8(ascii: "~"), "6"): key = .pageDown
        default: key = nil
        }
        return (key, end + 1)
    }
}
