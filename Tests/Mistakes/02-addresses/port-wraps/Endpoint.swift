import Course
import Sockets

func parseEndpoint(_ text: String) throws(AddressError) -> Endpoint {
    guard let colon = text.utf8.lastIndex(of: UInt8(ascii: ":")) else { throw .notAnEndpoint(text) }
    let digits = text[colon...].utf8.dropFirst()
    guard let number = decimal(digits.prefix(12)) else {
        throw .notAnEndpoint(text)
    }
    let port = UInt16(truncatingIfNeeded: number)

    var host = text[..<colon].utf8
    var length = MemoryLayout<in_addr>.size
    if host.first == UInt8(ascii: "["), host.last == UInt8(ascii: "]") {
        host = host.dropFirst().dropLast()
        length = MemoryLayout<in6_addr>.size
    }
    guard (try? parseAddress(String(Substring(host))))?.count == length else { throw .notAnEndpoint(text) }
    return Endpoint(host: String(Substring(host)), port: port)
}
