import Course
import Sockets

func socketAddress(host: String, port: UInt16) throws(AddressError) -> [UInt8] {
    let address = try parseAddress(host)
    let portBytes = [UInt8(port >> 8), UInt8(port & 0xFF)]
    func family(_ number: Int32) -> [UInt8] { withUnsafeBytes(of: sa_family_t(number)) { Array($0) } }
    if address.count == 4 {
        return family(AF_INET) + portBytes + address + [UInt8](repeating: 0, count: 8)
    }
    return family(AF_INET6) + portBytes + [0, 0, 0, 0] + address + [0, 0, 0, 0]
}

func unixSocketAddress(path: String) throws(AddressError) -> [UInt8] {
    let bytes = Array(path.utf8)
    if bytes.isEmpty || bytes.contains(0) { throw .notAnAddress(path) }
    if bytes.count > 107 { throw .pathTooLong(bytes.count) }
    var all = [UInt8](repeating: 0, count: 110)
    withUnsafeBytes(of: sa_family_t(AF_UNIX)) { all.replaceSubrange(0..<2, with: $0) }
    all.replaceSubrange(2..<(2 + bytes.count), with: bytes)
    return all
}
