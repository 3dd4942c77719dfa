import Course
import Sockets

/// Any C structure as bytes, after the caller has filled it in.
private func image<Structure>(of empty: Structure, _ fill: (inout Structure) -> Void) -> [UInt8] {
    var structure = empty
    fill(&structure)
    return withUnsafeBytes(of: &structure, Array.init)
}

func socketAddress(host: String, port: UInt16) throws -> [UInt8] {
    let number = try parseAddress(host)
    let wirePort = in_port_t(bigEndian: port)
    guard number.count == 4 else {
        return image(of: sockaddr_in6()) {
            $0.sin6_family = sa_family_t(AF_INET6)
            $0.sin6_port = wirePort
            memcpy(&$0.sin6_addr, number, number.count)
        }
    }
    return image(of: sockaddr_in()) {
        $0.sin_family = sa_family_t(AF_INET)
        $0.sin_port = wirePort
        memcpy(&$0.sin_addr, number, number.count)
    }
}

func unixSocketAddress(path: String) throws -> [UInt8] {
    // The path as C sees it, with its final zero.
    let text = path.utf8CString
    guard text.count > 1, text.firstIndex(of: 0) == text.count - 1 else { throw AddressError.notAnAddress(path) }
    let room = MemoryLayout.size(ofValue: sockaddr_un().sun_path)
    if text.count > room { throw AddressError.pathTooLong(text.count) }
    return image(of: sockaddr_un()) { address in
        address.sun_family = sa_family_t(AF_UNIX)
        text.withUnsafeBytes { bytes in
            withUnsafeMutableBytes(of: &address.sun_path) { $0.copyMemory(from: bytes) }
        }
    }
}
