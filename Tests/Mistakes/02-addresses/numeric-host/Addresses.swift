import Course
import Sockets

func parseAddress(_ text: String) throws(AddressError) -> [UInt8] {
    if text.utf8.contains(0) { throw AddressError.notAnAddress(text) }
    var ipv4 = in_addr()
    if inet_pton(AF_INET, text, &ipv4) == 1 {
        return withUnsafeBytes(of: ipv4) { Array($0) }
    }
    guard let ipv6 = numericIPv6(text) else { throw AddressError.notAnAddress(text) }
    return ipv6
}

private func numericIPv6(_ text: String) -> [UInt8]? {
    // No lookup: with AI_NUMERICHOST only the text of an address is taken.
    var hints = addrinfo()
    hints.ai_family = AF_INET6
    hints.ai_socktype = SOCK_STREAM
    hints.ai_flags = AI_NUMERICHOST
    var list: UnsafeMutablePointer<addrinfo>?
    // Without a colon it is no IPv6 address.
    guard text.utf8.contains(UInt8(ascii: ":")), getaddrinfo(text, nil, &hints, &list) == 0, let entry = list else {
        return nil
    }
    defer { freeaddrinfo(entry) }
    return entry.pointee.ai_addr.withMemoryRebound(to: sockaddr_in6.self, capacity: 1) { address in
        withUnsafeBytes(of: address.pointee.sin6_addr) { Array($0) }
    }
}

func formatAddress(_ bytes: [UInt8]) throws(AddressError) -> String {
    guard bytes.count == 4 || bytes.count == 16 else { throw AddressError.wrongLength(bytes.count) }
    var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
    _ = inet_ntop(bytes.count == 4 ? AF_INET : AF_INET6, bytes, &text, socklen_t(text.count))
    let end = text.firstIndex(of: 0) ?? text.endIndex
    return String(decoding: text[..<end].map { UInt8(bitPattern: $0) }, as: UTF8.self)
}
