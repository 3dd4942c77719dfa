// With slices and reduce: cut at the slashes, decode each part once, judge the bytes.
import Course

func pathNames(target: String) -> [String]? {
    guard let path = pathPart(of: Array(target.utf8)) else { return nil }
    var names: [String] = []
    for part in path.split(separator: UInt8(ascii: "/")) where !part.isEmpty {
        guard let bytes = unescaped(Array(part)) else { return nil }
        if bytes == Array(".".utf8) { continue }
        let forbidden: Set<UInt8> = [0, UInt8(ascii: "/"), UInt8(ascii: "\\")]
        guard bytes != Array("..".utf8), forbidden.isDisjoint(with: bytes) else { return nil }
        guard let name = String(validating: bytes, as: UTF8.self) else { return nil }
        names.append(name)
    }
    return names
}

/// What is looked up: behind the host, before the query.
func pathPart(of target: [UInt8]) -> ArraySlice<UInt8>? {
    let withoutQuery = target.prefix { $0 != UInt8(ascii: "?") }
    if withoutQuery.first == UInt8(ascii: "/") { return withoutQuery }
    guard withoutQuery.count >= 7, withoutQuery.prefix(7).map(lowercase).elementsEqual("http://".utf8) else {
        return nil
    }
    return withoutQuery.dropFirst(7).drop { $0 != UInt8(ascii: "/") }
}

func path(of target: String) -> ArraySlice<UInt8>? { pathPart(of: Array(target.utf8)) }

private func unescaped(_ part: [UInt8]) -> [UInt8]? {
    var result: [UInt8] = []
    var iterator = part.makeIterator()
    while let byte = iterator.next() {
        if byte != UInt8(ascii: "%") {
            result.append(byte)
        } else if let high = iterator.next(), let low = iterator.next(), let a = hexDigit(high), let b = hexDigit(low) {
            result.append(a << 4 + b)
        } else {
            return nil
        }
    }
    return result
}

func hexDigit(_ byte: UInt8) -> UInt8? {
    Array("0123456789abcdef".utf8).firstIndex(of: lowercase(byte)).map { UInt8($0) }
}

func lowercase(_ byte: UInt8) -> UInt8 { (65...90).contains(byte) ? byte + 32 : byte }
