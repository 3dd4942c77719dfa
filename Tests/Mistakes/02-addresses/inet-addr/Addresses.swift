import Course
import Sockets

func parseAddress(_ text: String) throws(AddressError) -> [UInt8] {
    guard !text.utf8.contains(0) else { throw .notAnAddress(text) }
    var ipv4 = [UInt8](repeating: 0, count: MemoryLayout<in_addr>.size)
    let a = inet_addr(text); if a != INADDR_NONE { return withUnsafeBytes(of: a) { Array($0) } }
    var ipv6 = [UInt8](repeating: 0, count: MemoryLayout<in6_addr>.size)
    if inet_pton(AF_INET6, text, &ipv6) == 1 { return ipv6 }
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
        guard let text = inet_ntop(family, bytes, room.baseAddress, socklen_t(room.count)) else {
            preconditionFailure("inet_ntop: \(errorText(errno))")
        }
        return String(cString: text)
    }
}
