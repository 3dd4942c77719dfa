import Course
import Sockets

func parseAddress(_ text: String) throws(AddressError) -> [UInt8] {
    // A C string ends at its first zero byte: of "127.0.0.1\0.example.org" inet_pton would see "127.0.0.1" only,
    // while whoever checked the whole text saw something else.
    guard !text.utf8.contains(0) else { throw .notAnAddress(text) }
    var ipv4 = [UInt8](repeating: 0, count: MemoryLayout<in_addr>.size)
    if inet_pton(AF_INET, text, &ipv4) == 1 { return ipv4 }
    var ipv6 = [UInt8](repeating: 0, count: MemoryLayout<in6_addr>.size)
    if inet_pton(AF_INET6, text, &ipv6) == 1 {
        // ::ffff:a.b.c.d is IPv4 in IPv6's clothes.
        let mapped: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF]
        if ipv6.starts(with: mapped) { return Array(ipv6.dropFirst(12)) }
        return ipv6
    }
    throw .notAnAddress(text)
}

func formatAddress(_ bytes: [UInt8]) throws(AddressError) -> String {
    let family: Int32
    switch bytes.count {
    case MemoryLayout<in_addr>.size: family = AF_INET
    case MemoryLayout<in6_addr>.size: family = AF_INET6
    default: throw .wrongLength(bytes.count)
    }
    return withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(INET6_ADDRSTRLEN)) { room in
        // It fails for an unknown family or too little room (inet_ntop(3)), and here it has neither.
        guard let text = inet_ntop(family, bytes, room.baseAddress, socklen_t(room.count)) else {
            preconditionFailure("inet_ntop: \(errorText(errno))")
        }
        return String(cString: text)
    }
}
