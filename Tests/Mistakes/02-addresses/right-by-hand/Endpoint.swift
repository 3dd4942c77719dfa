import Course

func parseEndpoint(_ text: String) throws -> Endpoint {
    if let endpoint = split(text) { return endpoint }
    throw AddressError.notAnEndpoint(text)
}

private func split(_ text: String) -> Endpoint? {
    let pieces = text.utf8.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
    guard pieces.count >= 2, let digits = pieces.last else { return nil }
    guard digits.count > 0, digits.count < 6 else { return nil }
    var port = 0
    for digit in digits {
        guard case 48...57 = digit else { return nil }
        port = port * 10 + Int(digit) - 48
    }
    guard port < 65536 else { return nil }
    // What is before the last colon.
    let before = text.utf8.dropLast(digits.count + 1)
    if pieces.count == 2 {
        let host = String(decoding: before, as: UTF8.self)
        return parseIPv4(host) == nil ? nil : Endpoint(host: host, port: UInt16(port))
    }
    guard before.count > 2, before.first == UInt8(ascii: "["), before.last == UInt8(ascii: "]") else { return nil }
    let host = String(decoding: before.dropFirst().dropLast(), as: UTF8.self)
    guard let address = try? parseAddress(host), address.count == 16 else { return nil }
    return Endpoint(host: host, port: UInt16(port))
}
