import Course
import Sockets

func parseAddress(_ text: String) throws(AddressError) -> [UInt8] {
    guard !text.isEmpty, !text.utf8.contains(0), !text.utf8.contains(UInt8(ascii: "%")) else {
        throw AddressError.notAnAddress(text)
    }
    let family = text.utf8.contains(UInt8(ascii: ":")) ? AF_INET6 : AF_INET
    var room = [UInt8](repeating: 0, count: 16)
    guard inet_pton(family, text, &room) == 1 else { throw AddressError.notAnAddress(text) }
    return family == AF_INET ? Array(room[..<4]) : room
}

func formatAddress(_ bytes: [UInt8]) throws(AddressError) -> String {
    guard bytes.count == 4 || bytes.count == 16 else { throw AddressError.wrongLength(bytes.count) }
    var text = [CChar](repeating: 0, count: Int(NI_MAXHOST))
    let result: Int32
    if bytes.count == 4 {
        var name = sockaddr_in()
        name.sin_family = sa_family_t(AF_INET)
        withUnsafeMutableBytes(of: &name.sin_addr) { $0.copyBytes(from: bytes) }
        result = withUnsafePointer(to: &name) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                getnameinfo(
                    $0, socklen_t(MemoryLayout<sockaddr_in>.size), &text, socklen_t(text.count), nil, 0, NI_NUMERICHOST)
            }
        }
    } else {
        var name = sockaddr_in6()
        name.sin6_family = sa_family_t(AF_INET6)
        withUnsafeMutableBytes(of: &name.sin6_addr) { $0.copyBytes(from: bytes) }
        result = withUnsafePointer(to: &name) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                getnameinfo(
                    $0, socklen_t(MemoryLayout<sockaddr_in6>.size), &text, socklen_t(text.count), nil, 0, NI_NUMERICHOST
                )
            }
        }
    }
    guard result == 0 else { throw AddressError.wrongLength(bytes.count) }
    return String(cString: text)
}
