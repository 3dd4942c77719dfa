import Course
import Foundation

func pathNames(target: String) -> [String]? {
    var path = target.prefix(upTo: target.firstIndex(of: "?") ?? target.endIndex)
    if !path.utf8.starts(with: "/".utf8) {
        guard path.prefix(7).lowercased() == "http://" else { return nil }
        path = path.dropFirst(7).drop { $0 != "/" }
    }
    var names: [String] = []
    for part in path.utf8.split(separator: UInt8(ascii: "/")) {
        guard let name = String(part)?.removingPercentEncoding else { return nil }
        if name == "." { continue }
        if name == ".." || !name.utf8.allSatisfy({ $0 != 0 && $0 != 47 && $0 != 92 }) { return nil }
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
