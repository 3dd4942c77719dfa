import Course
import Sockets

func parseAddress(_ text: String) throws(AddressError) -> [UInt8] {
    guard text.utf8.allSatisfy({ $0 != 0 }) else { throw AddressError.notAnAddress(text) }
    for (family, size) in [(AF_INET, 4), (AF_INET6, 16)] {
        var room = [UInt8](repeating: 0, count: size)
        if inet_pton(family, text, &room) == 1 { return room }
    }
    throw AddressError.notAnAddress(text)
}

func formatAddress(_ bytes: [UInt8]) throws(AddressError) -> String {
    switch bytes.count {
    case 4: return bytes.map { String($0) }.joined(separator: ".")
    case 16: return ipv6Text(bytes)
    default: throw AddressError.wrongLength(bytes.count)
    }
}

/// RFC 5952: lower case, no leading zeros, and "::" for the longest run of zero groups (the first of equals, at least two).
private func ipv6Text(_ bytes: [UInt8]) -> String {
    let groups = stride(from: 0, to: 16, by: 2).map { UInt16(bytes[$0]) << 8 | UInt16(bytes[$0 + 1]) }

    var longest = 0..<0
    var index = 0
    while index < groups.count {
        var end = index
        while end < groups.count && groups[end] == 0 { end += 1 }
        if end - index > longest.count { longest = index..<end }
        index = max(end, index + 1)
    }
    func hex(_ part: ArraySlice<UInt16>) -> String {
        part.map { String($0, radix: 16) }.joined(separator: ":")
    }
    guard longest.count >= 2 else { return hex(groups[...]) }
    return hex(groups[..<longest.lowerBound]) + "::" + hex(groups[longest.upperBound...])
}
