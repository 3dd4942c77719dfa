import Course

func parseEndpoint(_ text: String) throws -> Endpoint {
    var bytes = [UInt8](text.utf8)
    var number: UInt32 = 0
    var factor: UInt32 = 1
    var count = 0
    // The port, from its last digit to the colon before it.
    while let byte = bytes.last, byte >= 0x30, byte <= 0x39 {
        count += 1
        guard count <= 5 else { throw AddressError.notAnEndpoint(text) }
        number += UInt32(byte - 0x30) * factor
        factor *= 10
        bytes.removeLast()
    }
    guard count > 0, number <= 0xFFFF, bytes.popLast() == 0x3A else { throw AddressError.notAnEndpoint(text) }

    let host: String
    switch (bytes.first, bytes.last) {
    case (0x5B, 0x5D) where bytes.count > 2:
        host = String(decoding: bytes[1..<bytes.count - 1], as: UTF8.self)
        guard let address = try? parseAddress(host), address.count == 16 else { throw AddressError.notAnEndpoint(text) }
    default:
        host = String(decoding: bytes, as: UTF8.self)
        guard parseIPv4(host) != nil else { throw AddressError.notAnEndpoint(text) }
    }
    return Endpoint(host: host, port: UInt16(number))
}
