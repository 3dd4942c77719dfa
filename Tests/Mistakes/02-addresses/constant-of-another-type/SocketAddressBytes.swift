import Course
import Sockets

func socketAddress(host: String, port: UInt16) throws(AddressError) -> [UInt8] {
    // The library takes scopes (::1%lo), and believes a C string; both are ruled out before it is asked.
    guard NumericAddress(host) != nil, let address = try? SocketAddress(host: host, port: port) else {
        throw .notAnAddress(host)
    }
    return address.bytes
}

func unixSocketAddress(path: String) throws(AddressError) -> [UInt8] {
    guard !path.utf8.isEmpty, path.utf8.firstIndex(of: 0) == nil else { throw .notAnAddress(path) }
    guard let address = try? SocketAddress(unixPath: path) else { throw .pathTooLong(path.utf8.count) }
    return address.bytes
}
