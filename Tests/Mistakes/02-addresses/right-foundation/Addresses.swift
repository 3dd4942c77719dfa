import Course
import Foundation
import Sockets
func parseAddress(_ text: String) throws -> [UInt8] {
    if text.contains("\0") { throw AddressError.notAnAddress(text) }
    var v4 = in_addr(); var v6 = in6_addr()
    if text.withCString({ inet_pton(AF_INET, $0, &v4) }) == 1 { return Array(Data(bytes: &v4, count: 4)) }
    if text.withCString({ inet_pton(AF_INET6, $0, &v6) }) == 1 { return Array(Data(bytes: &v6, count: 16)) }
    throw AddressError.notAnAddress(text)
}
func formatAddress(_ bytes: [UInt8]) throws -> String {
    if bytes.count == 4 { return bytes.map(String.init).joined(separator: ".") }
    guard bytes.count == 16 else { throw AddressError.wrongLength(bytes.count) }
    var out = [CChar](repeating: 0, count: 100)
    var copy = bytes
    guard inet_ntop(AF_INET6, &copy, &out, 100) != nil else { throw SocketError("inet_ntop", errno) }
    return String(cString: out)
}
