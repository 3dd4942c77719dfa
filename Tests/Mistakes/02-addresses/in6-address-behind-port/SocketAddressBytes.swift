import Course
import Sockets

/// Puts a structure together from its front to its end.
private struct Layout {
    private(set) var bytes: [UInt8]

    init(family: Int32) {
        bytes = []
        // This machine's order: it never leaves it.
        withUnsafeBytes(of: sa_family_t(family)) { bytes.append(contentsOf: $0) }
    }

    mutating func network(_ number: UInt16) {
        bytes.append(UInt8(number / 256))
        bytes.append(UInt8(number % 256))
    }

    mutating func raw<Bytes: Sequence>(_ more: Bytes) where Bytes.Element == UInt8 { bytes.append(contentsOf: more) }

    func filled(to size: Int) -> [UInt8] { bytes + [UInt8](repeating: 0, count: size - bytes.count) }
}

func socketAddress(host: String, port: UInt16) throws(AddressError) -> [UInt8] {
    let address = try parseAddress(host)
    let isIPv6 = address.count == 16
    var layout = Layout(family: isIPv6 ? AF_INET6 : AF_INET)
    layout.network(port)
    layout.raw(address)
    // Flow information and scope, or sin_zero: all zero.
    return layout.filled(to: isIPv6 ? MemoryLayout<sockaddr_in6>.size : MemoryLayout<sockaddr_in>.size)
}

func unixSocketAddress(path: String) throws(AddressError) -> [UInt8] {
    let name = Array(path.utf8)
    if name.isEmpty || name.contains(0) { throw .notAnAddress(path) }
    let size = MemoryLayout<sockaddr_un>.size
    let room = size - MemoryLayout<sa_family_t>.size
    if name.count + 1 > room { throw .pathTooLong(name.count) }
    var layout = Layout(family: AF_UNIX)
    layout.raw(name)
    return layout.filled(to: size)
}
