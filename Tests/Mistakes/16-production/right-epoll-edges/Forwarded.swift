import Course
import Sockets

private func plain(_ bytes: some Collection<UInt8>) -> String? {
    (try? SocketAddress(host: String(decoding: bytes, as: UTF8.self), port: 0))?.host
}

private func isPort(_ bytes: some Collection<UInt8>) -> Bool {
    guard (1...5).contains(bytes.count) else { return false }
    var number = 0
    for byte in bytes {
        guard byte >= 48 && byte <= 57 else { return false }
        number = number * 10 + Int(byte) - 48
    }
    return number < 65_536
}

private func node(_ text: ArraySlice<UInt8>) -> String? {
    if let whole = plain(text) { return whole }
    guard let first = text.first else { return nil }
    if first == UInt8(ascii: "[") {
        guard let end = text.firstIndex(of: UInt8(ascii: "]")) else { return nil }
        let tail = text[(end + 1)...]
        guard tail.isEmpty || (tail.first == UInt8(ascii: ":") && isPort(tail.dropFirst())) else { return nil }
        let inner = text[(text.startIndex + 1)..<end]
        return plain(inner)
    }
    let colons = text.indices.filter { text[$0] == UInt8(ascii: ":") }
    guard colons.count == 1, isPort(text[(colons[0] + 1)...]) else { return nil }
    return plain(text[..<colons[0]])
}

private func trim(_ text: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
    var text = text
    while text.first == 32 || text.first == 9 { text.removeFirst() }
    while text.last == 32 || text.last == 9 { text.removeLast() }
    return text
}

private func isNamed(_ field: HTTPField, _ name: String) -> Bool { field.name.lowercased() == name }

/// A field `Forwarded`, from its first byte to its last; nil if it is not written by the rules.
private struct Reader {
    var rest: ArraySlice<UInt8>
    typealias Element = (node: String?, proto: String?)

    mutating func elements() -> [Element]? {
        var all: [Element] = []
        while true {
            var element: Element = (nil, nil)
            pairs: while true {
                skipBlanks()
                if let pair = pair() {
                    guard let pair else { return nil }
                    switch String(decoding: pair.name, as: UTF8.self).lowercased() {
                    case "for": element.node = node(pair.value[...])
                    case "proto": element.proto = String(decoding: pair.value, as: UTF8.self)
                    default: break
                    }
                }
                guard let next = rest.popFirst() else {
                    all.append(element)
                    return all
                }
                if next == UInt8(ascii: ",") { break pairs }
                guard next == UInt8(ascii: ";") else { return nil }
            }
            all.append(element)
        }
    }

    private mutating func skipBlanks() { while rest.first == 32 || rest.first == 9 { rest.removeFirst() } }

    private var isAtEnd: Bool {
        rest.first == nil || rest.first == UInt8(ascii: ",") || rest.first == UInt8(ascii: ";")
    }

    /// Nil: there is none. Nil inside of that: it is wrong.
    private mutating func pair() -> (name: [UInt8], value: [UInt8])?? {
        if isAtEnd { return nil }
        var name: [UInt8] = []
        while rest.first != UInt8(ascii: "=") {
            guard !isAtEnd, rest.first != UInt8(ascii: "\""), let byte = rest.popFirst() else { return .some(nil) }
            name.append(byte)
        }
        rest.removeFirst()
        var value: [UInt8] = []
        if rest.first == UInt8(ascii: "\"") {
            rest.removeFirst()
            while true {
                guard var byte = rest.popFirst() else { return .some(nil) }
                if byte == UInt8(ascii: "\"") { break }
                if byte == UInt8(ascii: "\\") {
                    guard let next = rest.popFirst() else { return .some(nil) }
                    byte = next
                }
                value.append(byte)
            }
            skipBlanks()
            guard isAtEnd else { return .some(nil) }
        } else {
            while !isAtEnd, let byte = rest.popFirst() {
                guard byte != UInt8(ascii: "\"") else { return .some(nil) }
                value.append(byte)
            }
            value = Array(trim(value[...]))
        }
        return .some((name, value))
    }
}

func forwardedClient(peer: String, fields: [HTTPField], trust: ProxyTrust) -> ForwardedClient {
    var believed = plain(peer.utf8) ?? peer
    let ours = trust.proxies.compactMap { plain($0.utf8) }
    guard ours.contains(believed) else { return ForwardedClient(address: believed, scheme: "http") }

    var nodes: [String?] = []
    var proto = ""
    switch trust.header {
    case .xForwarded:
        for field in fields {
            let parts = Array(field.value.utf8).split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false)
                .map(trim)
            if isNamed(field, "x-forwarded-for") { nodes += parts.map(node) }
            if isNamed(field, "x-forwarded-proto") { proto = String(decoding: parts[parts.count - 1], as: UTF8.self) }
        }
    case .forwarded:
        for field in fields where isNamed(field, "forwarded") {
            var reader = Reader(rest: Array(field.value.utf8)[...])
            guard let elements = reader.elements() else { return ForwardedClient(address: believed, scheme: "http") }
            nodes += elements.map(\.node)
            proto = elements.last?.proto ?? ""
        }
    }
    var index = nodes.count
    while index > 0 && ours.contains(believed) {
        index -= 1
        guard let next = nodes[index] else { break }
        believed = next
    }
    return ForwardedClient(address: believed, scheme: proto.lowercased() == "https" ? "https" : "http")
}
