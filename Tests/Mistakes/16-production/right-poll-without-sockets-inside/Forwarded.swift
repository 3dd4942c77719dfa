import Course
import Sockets

/// A byte, and whether it stood in quotes: there it separates nothing.
private struct Sign: Equatable {
    var byte: UInt8
    var isQuoted = false
    func isBare(_ scalar: Unicode.Scalar) -> Bool { !isQuoted && byte == UInt8(ascii: scalar) }
}

private extension Sequence where Element == Sign {
    var text: String { String(decoding: map(\.byte), as: UTF8.self) }
}

/// Nil if a quote does not end, or does not stand where a value begins.
private func signs(of text: String) -> [Sign]? {
    var result: [Sign] = []
    var bytes = text.utf8.makeIterator()
    while let byte = bytes.next() {
        guard byte == UInt8(ascii: "\"") else {
            result.append(Sign(byte: byte))
            continue
        }
        guard let last = result.last, last.isBare("=") else { return nil }
        while true {
            guard let inner = bytes.next() else { return nil }
            if inner == UInt8(ascii: "\"") { break }
            if inner == UInt8(ascii: "\\") {
                guard let escaped = bytes.next() else { return nil }
                result.append(Sign(byte: escaped, isQuoted: true))
            } else {
                result.append(Sign(byte: inner, isQuoted: true))
            }
        }
    }
    return result
}

private func stripped(_ signs: ArraySlice<Sign>) -> ArraySlice<Sign> {
    let isBlank = { (sign: Sign) in sign.isBare(" ") || sign.isBare("\t") }
    guard let first = signs.firstIndex(where: { !isBlank($0) }), let last = signs.lastIndex(where: { !isBlank($0) })
    else { return [] }
    return signs[first...last]
}

private struct Witness {
    var heard: String?
    var scheme: String?
}

private func witnesses(in value: String) -> [Witness]? {
    guard let all = signs(of: value) else { return nil }
    var result: [Witness] = []
    for element in all.split(omittingEmptySubsequences: false, whereSeparator: { $0.isBare(",") }) {
        var witness = Witness()
        for raw in element.split(whereSeparator: { $0.isBare(";") }) {
            let pair = stripped(raw)
            if pair.isEmpty { continue }
            guard let middle = pair.firstIndex(where: { $0.isBare("=") }) else { return nil }
            let content = stripped(pair[(middle + 1)...])
            switch pair[..<middle].text.lowercased() {
            case "for": witness.heard = address(content.text)
            case "proto": witness.scheme = content.text
            default: break
            }
        }
        result.append(witness)
    }
    return result
}

private func same(_ text: String) -> String? {
    guard let address = try? SocketAddress(host: text, port: 0) else { return nil }
    return address.host
}

private func address(_ text: String) -> String? {
    if let bare = same(text) { return bare }
    // Cut the port off at the last colon; then the brackets.
    var bytes = Array(text.utf8)
    if bytes.last != UInt8(ascii: "]") {
        guard let colon = bytes.lastIndex(of: UInt8(ascii: ":")) else { return nil }
        let port = bytes[(colon + 1)...]
        guard (1...5).contains(port.count), port.allSatisfy({ (48...57).contains($0) }),
            port.reduce(0, { $0 * 10 + Int($1) - 48 }) <= 65_535
        else { return nil }
        bytes.removeSubrange(colon...)
        // Without brackets only IPv4 has a port.
        if bytes.first != UInt8(ascii: "[") {
            return bytes.contains(UInt8(ascii: ":")) ? nil : same(String(decoding: bytes, as: UTF8.self))
        }
    }
    guard bytes.count > 2, bytes.first == UInt8(ascii: "["), bytes.last == UInt8(ascii: "]") else { return nil }
    return same(String(decoding: bytes.dropFirst().dropLast(), as: UTF8.self))
}

func forwardedClient(peer: String, fields: [HTTPField], trust: ProxyTrust) -> ForwardedClient {
    let trusted = Set(trust.proxies.compactMap(same))
    let peer = same(peer) ?? peer
    var answer = ForwardedClient(address: peer, scheme: "http")
    guard trusted.contains(peer) else { return answer }

    var heard: [String?] = []
    var scheme: String?
    for field in fields {
        switch (field.name.lowercased(), trust.header) {
        case ("forwarded", .forwarded):
            guard let more = witnesses(in: field.value) else { return answer }
            heard += more.map(\.heard)
            scheme = more.last?.scheme
        case ("x-forwarded-for", .xForwarded):
            heard += list(field.value).map(address)
        case ("x-forwarded-proto", .xForwarded): scheme = list(field.value).last
        default: break
        }
    }
    for next in heard.reversed() {
        guard trusted.contains(answer.address), let next else { break }
        answer.address = next
    }
    if scheme?.lowercased() == "https" { answer.scheme = "https" }
    return answer
}

private func list(_ value: String) -> [String] {
    let bytes = value.utf8.map { Sign(byte: $0) }
    return bytes.split(omittingEmptySubsequences: false, whereSeparator: { $0.isBare(",") }).map { stripped($0).text }
}
