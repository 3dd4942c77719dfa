import Course
import Sockets

private let colon = UInt8(ascii: ":")

func parseEndpoint(_ text: String) throws -> Endpoint {
    let bytes = Array(text.utf8)
    guard let port = port(behindLastColonOf: bytes), let host = host(atBeginningOf: bytes) else {
        throw AddressError.notAnEndpoint(text)
    }
    return Endpoint(host: host, port: port)
}

/// The port follows the last colon.
private func port(behindLastColonOf bytes: [UInt8]) -> UInt16? {
    guard let position = bytes.lastIndex(of: colon) else { return nil }
    let digits = bytes[(position + 1)...]
    guard (1...5).contains(digits.count) else { return nil }
    var value = 0
    for digit in digits {
        guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(digit) else { return nil }
        value = 10 * value + Int(digit) - 48
    }
    return UInt16(exactly: value)
}

/// In brackets an IPv6 address, which ends at the closing one; else IPv4, which has no colon in it and ends there.
private func host(atBeginningOf bytes: [UInt8]) -> String? {
    let inside: ArraySlice<UInt8>
    let length: Int
    if bytes.first == UInt8(ascii: "[") {
        guard let end = bytes.firstIndex(of: UInt8(ascii: "]")) else { return nil }
        inside = bytes[1..<end]
        length = 16
    } else {
        guard let end = bytes.firstIndex(of: colon) else { return nil }
        inside = bytes[..<end]
        length = 4
    }
    let text = String(decoding: inside, as: UTF8.self)
    guard let address = try? parseAddress(text), address.count == length else { return nil }
    return text
}
