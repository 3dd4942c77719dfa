// The parts as a lazy sequence, decoded by index.
import Course

func pathNames(target: String) -> [String]? {
    guard let path = path(of: target) else { return nil }
    do {
        return try path.split(separator: UInt8(ascii: "/")).compactMap { part in
            let name = try decodedOnce(part)
            if name == [46] { return nil }
            if name == [46, 46] || name.contains(where: { $0 == 0 || $0 == 47 || $0 == 92 }) { throw NotAName() }
            guard let text = String(validating: name, as: UTF8.self) else { throw NotAName() }
            return text
        }
    } catch { return nil }
}

private struct NotAName: Error {}

func path(of target: String) -> ArraySlice<UInt8>? {
    let bytes = Array(target.utf8)
    var start = 0
    if bytes.first != 47 {
        guard bytes.count > 6, bytes[..<7].map(lowercase) == Array("http://".utf8) else { return nil }
        start = 7
        while start < bytes.count, bytes[start] != 47, bytes[start] != 63 { start += 1 }
    }
    return bytes[start...].prefix { $0 != 63 }
}

private func decodedOnce(_ part: ArraySlice<UInt8>) throws -> [UInt8] {
    var name: [UInt8] = []
    var index = part.startIndex
    while index < part.endIndex {
        if part[index] == 37 {
            guard part.endIndex - index > 2, let a = hexDigit(part[index + 1]), let b = hexDigit(part[index + 2]) else {
                throw NotAName()
            }
            name.append(a * 16 | b)
            index += 3
        } else {
            name.append(part[index])
            index += 1
        }
    }
    return name
}

func hexDigit(_ byte: UInt8) -> UInt8? {
    switch byte {
    case 48...57: byte - 48
    case 65...70: byte - 55
    case 97...102: byte - 87
    default: nil
    }
}

func lowercase(_ byte: UInt8) -> UInt8 { byte >= 65 && byte <= 90 ? byte + 32 : byte }
