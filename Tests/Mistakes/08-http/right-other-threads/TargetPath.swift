// From left to right, one byte after the other.
import Course

func pathNames(target: String) -> [String]? {
    var bytes = Array(target.utf8)
    if bytes.first != UInt8(ascii: "/") {
        let scheme = Array("http://".utf8)
        guard bytes.prefix(7).map(lowercase) == scheme else { return nil }
        let end = bytes.indices.dropFirst(7).first { bytes[$0] == UInt8(ascii: "/") || bytes[$0] == UInt8(ascii: "?") }
        bytes.removeFirst(end ?? bytes.count)
    }
    var names: [String] = []
    var name: [UInt8] = []
    var index = 0

    func finish() -> Bool {
        defer { name = [] }
        // Bytes, not Characters: a slash with an accent behind it is no "/" for Swift.
        if name == [46, 46] || name.contains(0) || name.contains(47) || name.contains(92) { return false }
        if name.isEmpty || name == [46] { return true }
        guard let text = String(validating: name, as: UTF8.self) else { return false }
        names.append(text)
        return true
    }

    while index < bytes.count, bytes[index] != UInt8(ascii: "?") {
        switch bytes[index] {
        case UInt8(ascii: "/"):
            guard finish() else { return nil }
        case UInt8(ascii: "%"):
            guard index + 2 < bytes.count, let high = hexDigit(bytes[index + 1]), let low = hexDigit(bytes[index + 2])
            else {
                return nil
            }
            name.append(high * 16 + low)
            index += 2
        case let other: name.append(other)
        }
        index += 1
    }
    return finish() ? names : nil
}

func hexDigit(_ byte: UInt8) -> UInt8? {
    if (48...57).contains(byte) { return byte - 48 }
    let letter = byte | 32
    return (97...102).contains(letter) ? letter - 87 : nil
}

func lowercase(_ byte: UInt8) -> UInt8 { byte >= 65 && byte <= 90 ? byte | 32 : byte }
