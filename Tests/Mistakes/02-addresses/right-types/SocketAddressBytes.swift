import Course
import Sockets

private func made<Structure>(_ empty: Structure, _ fill: (inout Structure) -> Void) -> [UInt8] {
    var structure = empty
    fill(&structure)
    return withUnsafeBytes(of: &structure) { [UInt8]($0) }
}

func socketAddress(host: String, port: UInt16) throws -> [UInt8] {
    switch Address(host) {
    case .v4(let address)?:
        return made(sockaddr_in()) {
            $0.sin_family = .init(AF_INET)
            $0.sin_port = .init(bigEndian: port)
            $0.sin_addr = address
        }
    case .v6(let address)?:
        return made(sockaddr_in6()) {
            $0.sin6_family = .init(AF_INET6)
            $0.sin6_port = .init(bigEndian: port)
            $0.sin6_addr = address
        }
    case nil: throw AddressError.notAnAddress(host)
    }
}

func unixSocketAddress(path: String) throws -> [UInt8] {
    let bytes = path.utf8CString.map { UInt8(bitPattern: $0) }  // with the final zero
    guard bytes.firstIndex(of: 0) == bytes.count - 1, bytes.count > 1 else { throw AddressError.notAnAddress(path) }
    guard bytes.count <= MemoryLayout<sockaddr_un>.size - MemoryLayout<sa_family_t>.size else {
        throw AddressError.pathTooLong(bytes.count - 1)
    }
    return made(sockaddr_un()) { structure in
        structure.sun_family = .init(AF_UNIX)
        withUnsafeMutableBytes(of: &structure.sun_path) { room in
            for (place, byte) in bytes.enumerated() { room[place] = byte }
        }
    }
}
