import Course
import Sockets

/// What the kernel takes: a structure of one of three kinds, as plain bytes.
private enum Structure {
    case ipv4(address: [UInt8], port: UInt16)
    case ipv6(address: [UInt8], port: UInt16)
    case unix(path: [UInt8])

    /// Swift has set to zero what is not mentioned here.
    var bytes: [UInt8] {
        switch self {
        case .ipv4(let address, let port):
            var name = sockaddr_in()
            name.sin_family = sa_family_t(AF_INET)
            name.sin_port = port.bigEndian
            memcpy(&name.sin_addr, address, address.count)
            return Structure.raw(name)
        case .ipv6(let address, let port):
            var name = sockaddr_in6()
            name.sin6_family = sa_family_t(AF_INET6)
            name.sin6_port = port.bigEndian
            memcpy(&name.sin6_addr, address, address.count)
            return Structure.raw(name)
        case .unix(let path):
            var name = sockaddr_un()
            name.sun_family = sa_family_t(AF_UNIX)
            memcpy(&name.sun_path, path, path.count)
            return Structure.raw(name)
        }
    }

    private static func raw<Name>(_ name: Name) -> [UInt8] { withUnsafeBytes(of: name) { [UInt8]($0) } }
}

func socketAddress(host: String, port: UInt16) throws(AddressError) -> [UInt8] {
    let address = try parseAddress(host)
    return address.count == 4
        ? Structure.ipv4(address: address, port: port).bytes
        : Structure.ipv6(address: address, port: port).bytes
}

/// sun_path has 108 bytes on Linux and 104 on macOS. What fits into the smaller one fits everywhere.
private let pathRoom = 104

func unixSocketAddress(path: String) throws(AddressError) -> [UInt8] {
    let bytes = Array(path.utf8)
    // An empty path, or a zero byte, would be another name than the one that is meant.
    if bytes.isEmpty || bytes.contains(0) { throw .notAnAddress(path) }
    // The final zero needs a byte, too.
    if bytes.count + 1 > pathRoom { throw .pathTooLong(bytes.count) }
    return Structure.unix(path: bytes).bytes
}
