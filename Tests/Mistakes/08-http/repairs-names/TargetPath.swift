import Course

func pathNames(target: String) -> [String]? {
    guard let path = path(of: target) else { return nil }
    var names: [String] = []
    // Cut first, decode then: a slash that was sent as %2F is part of a name, not a way into a folder.
    for part in path.split(separator: UInt8(ascii: "/")) {
        guard let bytes = percentDecoded(part) else { return nil }
        let name = String(decoding: bytes, as: UTF8.self)
        if name == "." { continue }
        if name == ".." || bytes.contains(where: { $0 == 0 || $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: "\\") }) {
            return nil
        }
        names.append(name)
    }
    return names
}

/// The path of a target in origin form (`/a?q`) or absolute form (`http://host/a?q`), without its query; nil for the
/// others (RFC 9112 section 3.2).
func path(of target: String) -> ArraySlice<UInt8>? {
    var rest = Array(target.utf8)[...]
    if rest.first != UInt8(ascii: "/") {
        let scheme = Array("http://".utf8)
        guard rest.count >= scheme.count, zip(rest, scheme).allSatisfy({ lowercase($0) == $1 }) else { return nil }
        rest = rest.dropFirst(scheme.count)
        rest = rest.drop { $0 != UInt8(ascii: "/") && $0 != UInt8(ascii: "?") }
    }
    return rest.prefix { $0 != UInt8(ascii: "?") }
}

/// Once, and no more: `%252e` is `%2e`, whatever a second round would make of it (RFC 3986 section 2.4).
private func percentDecoded(_ bytes: ArraySlice<UInt8>) -> [UInt8]? {
    var decoded: [UInt8] = []
    var rest = bytes
    while let byte = rest.popFirst() {
        guard byte == UInt8(ascii: "%") else {
            decoded.append(byte)
            continue
        }
        guard let high = rest.popFirst().flatMap(hexDigit), let low = rest.popFirst().flatMap(hexDigit) else {
            return nil
        }
        decoded.append(high << 4 | low)
    }
    return decoded
}

func hexDigit(_ byte: UInt8) -> UInt8? {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): return byte - UInt8(ascii: "0")
    case UInt8(ascii: "a")...UInt8(ascii: "f"): return byte - UInt8(ascii: "a") + 10
    case UInt8(ascii: "A")...UInt8(ascii: "F"): return byte - UInt8(ascii: "A") + 10
    default: return nil
    }
}

/// ASCII only.
func lowercase(_ byte: UInt8) -> UInt8 {
    (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte) ? byte + 32 : byte
}
