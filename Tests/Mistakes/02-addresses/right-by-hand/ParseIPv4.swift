import Course

func parseIPv4(_ text: String) -> [UInt8]? {
    var rest = Array(text.utf8)[...]
    var address: [UInt8] = []
    for index in 0..<4 {
        if index > 0 {
            guard rest.first == UInt8(ascii: ".") else { return nil }
            rest = rest.dropFirst()
        }
        let digits = rest.prefix { $0 >= 48 && $0 <= 57 }
        guard digits.count >= 1, digits.count <= 3, digits.count == 1 || digits.first != 48 else { return nil }
        let value = digits.reduce(0) { $0 * 10 + Int($1 - 48) }
        guard value < 256 else { return nil }
        address.append(UInt8(value))
        rest = rest.dropFirst(digits.count)
    }
    return rest.isEmpty ? address : nil
}
