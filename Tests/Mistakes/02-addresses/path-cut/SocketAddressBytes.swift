import Course
import Sockets

func socketAddress(host: String, port: UInt16) throws(AddressError) -> [UInt8] {
    let address = try parseAddress(host)
    if address.count == MemoryLayout<in_addr>.size {
        var ipv4 = sockaddr_in()
        ipv4.sin_family = sa_family_t(AF_INET)
        ipv4.sin_port = port.bigEndian
        withUnsafeMutableBytes(of: &ipv4.sin_addr) { $0.copyBytes(from: address) }
        return withUnsafeBytes(of: ipv4) { Array($0) }
    } else {
        var ipv6 = sockaddr_in6()
        ipv6.sin6_family = sa_family_t(AF_INET6)
        ipv6.sin6_port = port.bigEndian
        withUnsafeMutableBytes(of: &ipv6.sin6_addr) { $0.copyBytes(from: address) }
        return withUnsafeBytes(of: ipv6) { Array($0) }
    }
}

func unixSocketAddress(path: String) throws(AddressError) -> [UInt8] {
    guard !path.isEmpty, !path.utf8.contains(0) else { throw .notAnAddress(path) }
    var address = sockaddr_un()
    let path = String(decoding: path.utf8.prefix(MemoryLayout.size(ofValue: address.sun_path) - 1), as: UTF8.self)
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
    return withUnsafeBytes(of: address) { Array($0) }
}
