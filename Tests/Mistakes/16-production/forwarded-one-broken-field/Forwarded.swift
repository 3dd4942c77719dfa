import Course
import Sockets

/// The client as far as it is known, while we walk away from ourselves.
private struct Walk {
    let ours: Set<String>
    var here: String
    var ended = false

    mutating func step(to text: String?) {
        if ended { return }
        guard ours.contains(here), let text, let next = numeric(text) else {
            ended = true
            return
        }
        here = next
    }
}

func forwardedClient(peer: String, fields: [HTTPField], trust: ProxyTrust) -> ForwardedClient {
    var ours = Set<String>()
    for proxy in trust.proxies {
        if let address = try? SocketAddress(host: proxy, port: 0) { ours.insert(address.host) }
    }
    var walk = Walk(ours: ours, here: (try? SocketAddress(host: peer, port: 0))?.host ?? peer)
    guard ours.contains(walk.here) else { return ForwardedClient(address: walk.here, scheme: "http") }

    var scheme = ""
    if trust.header == .xForwarded {
        var names: [String] = []
        for field in fields {
            switch field.name.lowercased() {
            case "x-forwarded-for": names += commaList(field.value)
            case "x-forwarded-proto": scheme = commaList(field.value).last ?? ""
            default: break
            }
        }
        for name in names.reversed() { walk.step(to: name) }
    } else {
        var elements: [ForwardedElement] = []
        for field in fields where field.name.lowercased() == "forwarded" {
            var parser = ForwardedParser(field.value)
            guard let list = parser.parse() else { continue }
            elements += list
        }
        for element in elements.reversed() { walk.step(to: element.from) }
        scheme = elements.last?.proto ?? ""
    }
    return ForwardedClient(address: walk.here, scheme: scheme.lowercased() == "https" ? "https" : "http")
}

private func commaList(_ text: String) -> [String] {
    var items: [[UInt8]] = [[]]
    for byte in text.utf8 {
        if byte == UInt8(ascii: ",") { items.append([]) } else { items[items.count - 1].append(byte) }
    }
    return items.map { withoutBlanks($0) }
}

private func withoutBlanks(_ bytes: [UInt8]) -> String {
    var bytes = bytes[...]
    while bytes.first == 32 || bytes.first == 9 { bytes = bytes.dropFirst() }
    while bytes.last == 32 || bytes.last == 9 { bytes = bytes.dropLast() }
    return String(decoding: bytes, as: UTF8.self)
}

private func numeric(_ text: String) -> String? {
    if let address = try? SocketAddress(host: text, port: 0) { return address.host }
    // [v6], [v6]:port, v4:port
    var host = text
    var port: String?
    if text.first == "[" {
        guard let close = text.lastIndex(of: "]") else { return nil }
        host = String(text[text.index(after: text.startIndex)..<close])
        let tail = text[text.index(after: close)...]
        if !tail.isEmpty {
            guard tail.first == ":" else { return nil }
            port = String(tail.dropFirst())
        }
    } else {
        guard let colon = text.lastIndex(of: ":") else { return nil }
        host = String(text[..<colon])
        if host.contains(":") { return nil }
        port = String(text[text.index(after: colon)...])
    }
    if let port {
        guard !port.isEmpty, port.utf8.allSatisfy({ (48...57).contains($0) }), UInt16(port) != nil else { return nil }
    }
    return (try? SocketAddress(host: host, port: 0))?.host
}

private struct ForwardedElement {
    var from: String?
    var proto: String?
}

/// RFC 7239, byte by byte.
private struct ForwardedParser {
    private let bytes: [UInt8]
    private var elements: [ForwardedElement] = []
    private var element = ForwardedElement()
    private var raw: [UInt8] = []
    private var name: String?

    init(_ text: String) { bytes = Array(text.utf8) }

    mutating func parse() -> [ForwardedElement]? {
        var quoted = false
        var index = 0
        while index < bytes.count {
            let byte = bytes[index]
            index += 1
            if quoted {
                if byte == UInt8(ascii: "\\") {
                    guard index < bytes.count else { return nil }
                    raw.append(bytes[index])
                    index += 1
                } else if byte == UInt8(ascii: "\"") {
                    quoted = false
                } else {
                    raw.append(byte)
                }
                continue
            }
            switch byte {
            case UInt8(ascii: "\""): quoted = true
            case UInt8(ascii: "=") where name == nil:
                name = withoutBlanks(raw).lowercased()
                raw = []
            case UInt8(ascii: ";"):
                guard endPair() else { return nil }
            case UInt8(ascii: ","):
                guard endPair() else { return nil }
                elements.append(element)
                element = ForwardedElement()
            default: raw.append(byte)
            }
        }
        guard !quoted, endPair() else { return nil }
        elements.append(element)
        return elements
    }

    private mutating func endPair() -> Bool {
        let value = withoutBlanks(raw)
        raw = []
        guard let key = name else { return value.isEmpty }
        name = nil
        if key == "for" { element.from = value }
        if key == "proto" { element.proto = value }
        return true
    }
}
