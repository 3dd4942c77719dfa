import Course
import Sockets

/// A way to write an address: the family that inet_pton is asked for, and how many bytes it writes.
private struct Notation {
    let family: Int32
    let width: Int

    static let dotted = Notation(family: AF_INET, width: 4)
    static let colons = Notation(family: AF_INET6, width: 16)

    /// inet_pton does not guess the family, so we look at the text: IPv4 has dots, IPv6 has colons.
    static func used(in text: String) -> Notation {
        text.utf8.contains(UInt8(ascii: ".")) ? .dotted : .colons
    }

    static func forBytes(_ count: Int) -> Notation? {
        [dotted, colons].first { $0.width == count }
    }

    func read(_ text: String) -> [UInt8]? {
        var room = [UInt8](repeating: 0, count: width)
        let result = room.withUnsafeMutableBytes { inet_pton(family, text, $0.baseAddress) }
        return result == 1 ? room : nil
    }

    func write(_ bytes: [UInt8]) -> String {
        var room = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        guard inet_ntop(family, bytes, &room, socklen_t(room.count)) != nil else { return "" }
        let used = room.prefix { $0 != 0 }
        return String(decoding: used.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}

func parseAddress(_ text: String) throws(AddressError) -> [UInt8] {
    // C would stop at a zero byte.
    if text.utf8.contains(0) { throw .notAnAddress(text) }
    guard let bytes = Notation.used(in: text).read(text) else { throw .notAnAddress(text) }
    return bytes
}

func formatAddress(_ bytes: [UInt8]) throws(AddressError) -> String {
    guard let notation = Notation.forBytes(bytes.count) else { throw .wrongLength(bytes.count) }
    return notation.write(bytes)
}
