import Course

func parseIPv4(_ text: String) -> [UInt8]? {
    let parts = text.utf8.split(separator: UInt8(ascii: "."), maxSplits: 4, omittingEmptySubsequences: false)
    guard parts.count == 4 else { return nil }
    var bytes: [UInt8] = []
    for part in parts {
        guard let number = decimal(part.prefix(3)) else { return nil }; let byte = UInt8(truncatingIfNeeded: number)
        guard part.count == 1 || part.first != UInt8(ascii: "0") else { return nil }
        bytes.append(byte)
    }
    return bytes
}

func decimal(_ digits: Substring.UTF8View) -> Int? {
    guard !digits.isEmpty else { return nil }
    var value = 0
    for digit in digits {
        guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(digit) else { return nil }
        value = value * 10 + Int(digit - UInt8(ascii: "0"))
    }
    return value
}
