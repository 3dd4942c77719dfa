import Course
import Sockets

func socketAddress(host: String, port: UInt16) throws -> [UInt8] {
    let address = try parseAddress(host)
    let isFour = address.count == 4
    // One room for both; only as much of it as the family has is given back.
    var storage = sockaddr_storage()
    storage.ss_family = sa_family_t(isFour ? AF_INET : AF_INET6)
    return withUnsafeMutableBytes(of: &storage) { room in
        room.storeBytes(of: port.bigEndian, toByteOffset: 2, as: UInt16.self)
        UnsafeMutableRawBufferPointer(rebasing: room[(isFour ? 4 : 8)...]).copyBytes(from: address)
        return Array(room.prefix(isFour ? MemoryLayout<sockaddr_in>.size : MemoryLayout<sockaddr_in6>.size))
    }
}

func unixSocketAddress(path: String) throws -> [UInt8] {
    let count = path.utf8.count
    guard count > 0, path.utf8.allSatisfy({ $0 != 0 }) else { throw AddressError.notAnAddress(path) }
    var address = sockaddr_un()
    let capacity = withUnsafeBytes(of: address.sun_path) { $0.count }
    if count > capacity - 1 { throw AddressError.pathTooLong(count) }
    address.sun_family = sa_family_t(AF_UNIX)
    _ = withUnsafeMutableBytes(of: &address.sun_path) { room in
        path.withCString { memcpy(room.baseAddress!, $0, count) }
    }
    return withUnsafeBytes(of: address) { Array($0) }
}
