import Course

private let colonSign = UInt8(ascii: ":")
private let opening = UInt8(ascii: "[")
private let closing = UInt8(ascii: "]")

/// A port is one to five digits, at most 65535.
private func portNumber(_ digits: ArraySlice<UInt8>) -> UInt16? {
    guard (1...5).contains(digits.count) else { return nil }
    var number: UInt32 = 0
    for digit in digits {
        guard digit >= 48, digit <= 57 else { return nil }
        number = number * 10 + UInt32(digit - 48)
    }
    return UInt16(exactly: number)
}

/// The text before the colon of the port: an address of four bytes, or what stands in brackets, of sixteen.
private func address(before colon: Int, in bytes: [UInt8]) -> (text: ArraySlice<UInt8>, size: Int)? {
    guard bytes.first == opening else { return (bytes[..<colon], 4) }
    guard let end = bytes.firstIndex(of: closing), end < colon else { return nil }
    return (bytes[1..<end], 16)
}

func parseEndpoint(_ text: String) throws(AddressError) -> Endpoint {
    let bytes = Array(text.utf8)
    guard let colon = bytes.lastIndex(of: colonSign),
        let port = portNumber(bytes[(colon + 1)...]),
        let found = address(before: colon, in: bytes)
    else { throw .notAnEndpoint(text) }

    let host = String(decoding: found.text, as: UTF8.self)
    guard let address = try? parseAddress(host), address.count == found.size else { throw .notAnEndpoint(text) }
    return Endpoint(host: host, port: port)
}
