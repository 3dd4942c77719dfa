import Course

func parseEndpoint(_ text: String) throws -> Endpoint {
    let bytes = Array(text.utf8)
    guard let colon = bytes.lastIndex(of: 58) else { throw AddressError.notAnEndpoint(text) }
    let digits = bytes[(colon + 1)...]
    guard (1...5).contains(digits.count), digits.allSatisfy({ (48...57).contains($0) }),
        let port = UInt16(String(decoding: digits, as: UTF8.self))
    else { throw AddressError.notAnEndpoint(text) }
    var host = bytes[..<colon]
    let bracketed = host.count >= 2 && host.first == 91 && host.last == 93
    if bracketed { host = host.dropFirst().dropLast() }
    guard let address = try? parseAddress(String(decoding: host, as: UTF8.self)),
        address.count == (bracketed ? 16 : 4),
        let canonical = try? formatAddress(address)
    else { throw AddressError.notAnEndpoint(text) }
    return Endpoint(host: canonical, port: port)
}
