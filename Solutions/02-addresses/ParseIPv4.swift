import Course

func parseIPv4(_ text: String) -> [UInt8]? {
    // The bytes, not the Characters: "1\u{301}" is one Character, and "١" is a digit to Unicode but not to inet_pton.
    // One cut more than an address has is enough to see that there are too many.
    let parts = text.utf8.split(separator: UInt8(ascii: "."), maxSplits: 4, omittingEmptySubsequences: false)
    guard parts.count == 4 else { return nil }
    var bytes: [UInt8] = []
    for part in parts {
        guard part.count <= 3, let number = decimal(part), let byte = UInt8(exactly: number) else { return nil }
        // "010" is 8 to those who read a leading zero as octal, and 10 to the others: so it is not an address.
        guard part.count == 1 || part.first != UInt8(ascii: "0") else { return nil }
        bytes.append(byte)
    }
    return bytes
}

/// The value of ASCII digits; nil if there are none, or anything else is among them. The caller limits their number, so
/// that the value fits.
func decimal(_ digits: Substring.UTF8View) -> Int? {
    guard !digits.isEmpty else { return nil }
    var value = 0
    for digit in digits {
        guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(digit) else { return nil }
        value = value * 10 + Int(digit - UInt8(ascii: "0"))
    }
    return value
}
