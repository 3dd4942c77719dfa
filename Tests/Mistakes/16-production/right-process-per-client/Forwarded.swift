import Course
import Sockets

/// On bytes, and from the right: the fields are put on a stack of claims, and the last one is looked at first.
func forwardedClient(peer: String, fields: [HTTPField], trust: ProxyTrust) -> ForwardedClient {
    let ours = Set(trust.proxies.compactMap { normal(Array($0.utf8)) })
    let start = normal(Array(peer.utf8)) ?? peer
    if !ours.contains(start) { return ForwardedClient(address: start, scheme: "http") }

    var addresses: [[UInt8]] = []
    var scheme: [UInt8] = []
    switch trust.header {
    case .xForwarded:
        for field in fields {
            let name = field.name.lowercased()
            if name == "x-forwarded-for" { addresses += list(field.value) }
            if name == "x-forwarded-proto" { scheme = list(field.value).last ?? [] }
        }
    case .forwarded:
        for field in fields where field.name.lowercased() == "forwarded" {
            var parser = ForwardedParser(Array(field.value.utf8))
            guard let elements = parser.elements() else { return ForwardedClient(address: start, scheme: "http") }
            addresses += elements.map(\.node)
            if let last = elements.last { scheme = last.proto }
        }
    }

    var believed = start
    while ours.contains(believed), let claim = addresses.popLast(), let address = node(claim) { believed = address }
    let isSecure = String(decoding: scheme, as: UTF8.self).lowercased() == "https"
    return ForwardedClient(address: believed, scheme: isSecure ? "https" : "http")
}

private let blanks: Set<UInt8> = [0x20, 0x09]

private func trim(_ bytes: some Collection<UInt8>) -> [UInt8] {
    let start = Array(bytes.drop { blanks.contains($0) })
    let end = start.lastIndex { !blanks.contains($0) } ?? -1
    return Array(start[..<(end + 1)])
}

private func list(_ value: String) -> [[UInt8]] {
    value.utf8.split(separator: 0x2C, omittingEmptySubsequences: false).map { trim($0) }
}

private func normal(_ text: [UInt8]) -> String? {
    guard !text.contains(0) else { return nil }
    return (try? SocketAddress(host: String(decoding: text, as: UTF8.self), port: 0))?.host
}

/// An address, perhaps with brackets, perhaps with a port.
private func node(_ text: [UInt8]) -> String? {
    if text.first == UInt8(ascii: "[") {
        guard let end = text.firstIndex(of: UInt8(ascii: "]")) else { return nil }
        let rest = text[(end + 1)...]
        guard rest.isEmpty || isColonAndPort(rest) else { return nil }
        return normal(Array(text[1..<end]))
    }
    if let whole = normal(text) { return whole }
    guard let colon = text.firstIndex(of: UInt8(ascii: ":")), isColonAndPort(text[colon...]) else { return nil }
    return normal(Array(text[..<colon]))
}

private func isColonAndPort(_ text: ArraySlice<UInt8>) -> Bool {
    guard text.first == UInt8(ascii: ":"), (2...6).contains(text.count) else { return false }
    var number = 0
    for byte in text.dropFirst() {
        guard byte >= 0x30 && byte <= 0x39 else { return false }
        number = number * 10 + Int(byte - 0x30)
    }
    return number <= 65_535
}

/// `for=a;proto=b, for="c"`, byte by byte.
private struct ForwardedParser {
    struct Element {
        var node: [UInt8] = []
        var proto: [UInt8] = []
    }

    private let bytes: [UInt8]
    private var at = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    /// - Returns: nil if it is not written by the rules.
    mutating func elements() -> [Element]? {
        var all = [Element()]
        while true {
            guard let (raw, ending) = part() else { return nil }
            let pair = trim(raw)
            if !pair.isEmpty {
                guard let equals = pair.firstIndex(of: UInt8(ascii: "=")) else { return nil }
                let value = plain(Array(pair[(equals + 1)...]))
                switch String(decoding: pair[..<equals], as: UTF8.self).lowercased() {
                case "for": all[all.count - 1].node = value
                case "proto": all[all.count - 1].proto = value
                default: break
                }
            }
            switch ending {
            case UInt8(ascii: ","): all.append(Element())
            case UInt8(ascii: ";"): break
            default: return all
            }
        }
    }

    /// Up to a separator that is in no quotes, or to the end.
    private mutating func part() -> ([UInt8], UInt8?)? {
        var result: [UInt8] = []
        var isQuoted = false
        while at < bytes.count {
            let byte = bytes[at]
            at += 1
            if isQuoted && byte == UInt8(ascii: "\\") {
                guard at < bytes.count else { return nil }
                result += [byte, bytes[at]]
                at += 1
                continue
            }
            if byte == UInt8(ascii: "\"") { isQuoted.toggle() }
            if !isQuoted && (byte == UInt8(ascii: ",") || byte == UInt8(ascii: ";")) { return (result, byte) }
            result.append(byte)
        }
        return isQuoted ? nil : (result, nil)
    }

    private func plain(_ value: [UInt8]) -> [UInt8] {
        guard value.count > 1, value.first == UInt8(ascii: "\""), value.last == UInt8(ascii: "\"") else { return value }
        var result: [UInt8] = []
        var rest = value.dropFirst().dropLast()
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "\\"), let next = rest.popFirst() {
                result.append(next)
            } else {
                result.append(byte)
            }
        }
        return result
    }
}
