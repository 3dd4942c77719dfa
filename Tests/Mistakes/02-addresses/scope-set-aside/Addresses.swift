import Course
import Sockets

func parseAddress(_ text: String) throws(AddressError) -> [UInt8] {
    guard let bytes = withoutZeros(text).flatMap({ ipv4($0) ?? ipv6($0) }) else { throw .notAnAddress(text) }
    return bytes
}

private func withoutZeros(_ text: String) -> String? {
    text.unicodeScalars.contains { $0.value == 0 } ? nil : text
}

private func ipv4(_ text: String) -> [UInt8]? {
    var address = in_addr()
    guard inet_pton(AF_INET, text, &address) == 1 else { return nil }
    return withUnsafeBytes(of: address) { [UInt8]($0) }
}

private func ipv6(_ text: String) -> [UInt8]? {
    // fe80::1%eth0: the interface is no part of the sixteen bytes, it belongs into sin6_scope_id.
    var numbers = text
    if let percent = text.firstIndex(of: "%"), text.index(after: percent) != text.endIndex {
        numbers = String(text[..<percent])
    }
    var address = in6_addr()
    guard inet_pton(AF_INET6, numbers, &address) == 1 else { return nil }
    return withUnsafeBytes(of: address) { [UInt8]($0) }
}

func formatAddress(_ bytes: [UInt8]) throws(AddressError) -> String {
    guard let family = [4: AF_INET, 16: AF_INET6][bytes.count] else { throw .wrongLength(bytes.count) }
    var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
    _ = inet_ntop(family, bytes, &text, socklen_t(text.count))
    let end = text.firstIndex(of: 0) ?? text.endIndex
    return String(decoding: text[..<end].map { UInt8(bitPattern: $0) }, as: UTF8.self)
}
