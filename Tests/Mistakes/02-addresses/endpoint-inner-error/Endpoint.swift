import Course
import Sockets

func parseEndpoint(_ text: String) throws(AddressError) -> Endpoint {
    // Of all the colons in [::1]:80 only the last one is followed by the port.
    guard let colon = text.utf8.lastIndex(of: UInt8(ascii: ":")) else { throw .notAnEndpoint(text) }
    let digits = text[colon...].utf8.dropFirst()
    guard digits.count <= 5, let number = decimal(digits), let port = UInt16(exactly: number) else {
        throw .notAnEndpoint(text)
    }

    // Without brackets nobody can tell whether ::1:80 is port 80 of ::1, or the address 0:0:0:0:0:0:1:80. Again bytes, not
    // Characters: "[" and an accent after it are one Character, and it is not a bracket.
    var host = text[..<colon].utf8
    var length = MemoryLayout<in_addr>.size
    if host.first == UInt8(ascii: "["), host.last == UInt8(ascii: "]") {
        host = host.dropFirst().dropLast()
        length = MemoryLayout<in6_addr>.size
    }
    // What is wrong with the host does not matter here: it is the endpoint that is refused.
    guard try parseAddress(String(Substring(host))).count == length else { throw .notAnEndpoint(text) }
    return Endpoint(host: String(Substring(host)), port: port)
}
