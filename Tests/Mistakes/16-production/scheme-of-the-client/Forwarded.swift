import Course
import Sockets

/// One line of the story that the proxies tell: "I heard from `node`, by `proto`".
private struct Report {
    var node: String?
    var proto: String?
}

func forwardedClient(peer: String, fields: [HTTPField], trust: ProxyTrust) -> ForwardedClient {
    let ours = trust.proxies.compactMap { plainAddress($0) }
    var answer = ForwardedClient(address: plainAddress(peer) ?? peer, scheme: "http")
    guard ours.contains(answer.address) else { return answer }

    var reports: [Report]
    switch trust.header {
    case .forwarded: reports = standardReports(fields)
    default: reports = olderReports(fields)
    }
    // Without any address the proxy may still have said how it was asked.
    answer.scheme = scheme(reports.last?.proto) ?? "http"
    while ours.contains(answer.address), let report = reports.popLast(), let node = report.node {
        guard let address = nodeAddress(node) else { break }
        answer.address = address
        // How this one, whom we now take for the client, has asked.
        answer.scheme = scheme(report.proto) ?? answer.scheme
    }
    return answer
}

private func scheme(_ proto: String?) -> String? {
    proto.map { $0.lowercased() == "https" ? "https" : "http" }
}

// MARK: X-Forwarded-For, X-Forwarded-Proto

private func olderReports(_ fields: [HTTPField]) -> [Report] {
    let nodes = list("x-forwarded-for", in: fields)
    let protos = list("x-forwarded-proto", in: fields)
    var reports: [Report] = []
    // Both lists grow at the right, so the last ones belong together.
    for back in 1...max(nodes.count, protos.count, 1) {
        reports.append(
            Report(
                node: back <= nodes.count ? nodes[nodes.count - back] : nil,
                proto: back <= protos.count ? protos[protos.count - back] : nil))
    }
    return reports.reversed()
}

private func list(_ name: String, in fields: [HTTPField]) -> [String] {
    var items: [String] = []
    for field in fields where field.name.lowercased() == name {
        for item in field.value.utf8.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false) {
            items.append(stripped(Array(item)))
        }
    }
    return items
}

// MARK: Forwarded

private func standardReports(_ fields: [HTTPField]) -> [Report] {
    var reports: [Report] = []
    for field in fields where field.name.lowercased() == "forwarded" {
        var reader = PairReader(field.value)
        guard let more = reader.readAll() else { return [] }
        reports += more
    }
    return reports
}

/// Reads `name=value;name="value", name=value` byte by byte.
private struct PairReader {
    private var rest: ArraySlice<UInt8>

    init(_ text: String) { rest = Array(text.utf8)[...] }

    /// Nil where it is not written by the rules.
    mutating func readAll() -> [Report]? {
        var reports = [Report()]
        while true {
            guard let (text, quotedText, end) = readPart() else { return nil }
            if !text.isEmpty || quotedText != nil {
                guard let equals = text.firstIndex(of: "=") else { return nil }
                let value = quotedText ?? String(text[text.index(after: equals)...])
                switch text[..<equals].lowercased() {
                case "for": reports[reports.count - 1].node = value
                case "proto": reports[reports.count - 1].proto = value
                default: break
                }
            }
            if end == nil { return reports }
            if end == UInt8(ascii: ",") { reports.append(Report()) }
        }
    }

    /// - Returns: the part as it stands there, what was within its quotes (nil if it has none), and what ended it.
    private mutating func readPart() -> (String, String?, UInt8?)? {
        var raw: [UInt8] = []
        var quoted: [UInt8]?
        while let byte = rest.popFirst() {
            switch byte {
            case UInt8(ascii: ","), UInt8(ascii: ";"):
                return (stripped(raw), quoted.map { String(decoding: $0, as: UTF8.self) }, byte)
            case UInt8(ascii: "\""):
                var text: [UInt8] = []
                while true {
                    guard let inner = rest.popFirst() else { return nil }
                    if inner == UInt8(ascii: "\"") { break }
                    if inner == UInt8(ascii: "\\") {
                        guard let escaped = rest.popFirst() else { return nil }
                        text.append(escaped)
                    } else {
                        text.append(inner)
                    }
                }
                quoted = text
            default:
                raw.append(byte)
            }
        }
        return (stripped(raw), quoted.map { String(decoding: $0, as: UTF8.self) }, nil)
    }
}

// MARK: Addresses

private func nodeAddress(_ node: String) -> String? {
    if let plain = plainAddress(node) { return plain }
    guard node.hasPrefix("[") else {
        let sides = node.split(separator: ":", omittingEmptySubsequences: false)
        guard sides.count == 2, portIsFine(sides[1]) else { return nil }
        return plainAddress(String(sides[0]))
    }
    let sides = node.dropFirst().split(separator: "]", maxSplits: 1, omittingEmptySubsequences: false)
    guard sides.count == 2 else { return nil }
    if !sides[1].isEmpty {
        guard sides[1].hasPrefix(":"), portIsFine(sides[1].dropFirst()) else { return nil }
    }
    return plainAddress(String(sides[0]))
}

private func portIsFine(_ text: Substring) -> Bool {
    guard !text.isEmpty, text.utf8.allSatisfy({ $0 >= 48 && $0 <= 57 }) else { return false }
    return UInt16(text) != nil
}

private func plainAddress(_ text: String) -> String? {
    guard let address = try? SocketAddress(host: text, port: 0) else { return nil }
    return address.host
}

private func stripped(_ bytes: [UInt8]) -> String {
    var part = bytes[...]
    while let first = part.first, first == 32 || first == 9 { part.removeFirst() }
    while let last = part.last, last == 32 || last == 9 { part.removeLast() }
    return String(decoding: part, as: UTF8.self)
}
