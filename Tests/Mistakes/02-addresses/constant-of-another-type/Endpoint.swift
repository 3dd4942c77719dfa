import Course

/// The value of a port as it is written: one to five ASCII digits.
private func port<Digits: Collection>(_ digits: Digits) -> UInt16? where Digits.Element == UInt8 {
    guard 1...5 ~= digits.count, digits.allSatisfy({ 48...57 ~= $0 }) else { return nil }
    // Digits only, and few: so nothing is left that this initialiser could misunderstand.
    return UInt16(String(decoding: digits, as: UTF8.self))
}

func parseEndpoint(_ text: String) throws(AddressError) -> Endpoint {
    let pieces = text.utf8.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
    guard pieces.count >= 2, let last = pieces.last, let port = port(last) else { throw .notAnEndpoint(text) }
    let before = Array(pieces.dropLast().joined(separator: [UInt8(ascii: ":")]))

    let host: String
    let family: AddressFamily
    if before.count > 2, before[0] == UInt8(ascii: "["), before[before.count - 1] == UInt8(ascii: "]") {
        host = String(decoding: before[1..<before.count - 1], as: UTF8.self)
        family = .v6
    } else {
        host = String(decoding: before, as: UTF8.self)
        family = .v4
    }
    guard NumericAddress(host)?.family == family else { throw .notAnEndpoint(text) }
    return Endpoint(host: host, port: port)
}
