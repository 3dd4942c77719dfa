import Course
import Foundation
import Sockets

func forwardedClient(peer: String, fields: [HTTPField], trust: ProxyTrust) -> ForwardedClient {
    let trusted = trust.proxies.map(normalized)
    guard trusted.contains(normalized(peer)) else { return ForwardedClient(address: peer, scheme: "http") }

    func joined(_ name: String) -> String? {
        let values = fields.filter { $0.name.caseInsensitiveCompare(name) == .orderedSame }.map(\.value)
        return values.isEmpty ? nil : values.joined(separator: ",")
    }
    var hops: [String]
    var scheme: String
    switch trust.header {
    case .xForwarded:
        hops = joined("X-Forwarded-For")?.components(separatedBy: ",") ?? []
        scheme = joined("X-Forwarded-Proto")?.components(separatedBy: ",").last ?? ""
    case .forwarded:
        var scanner = ForwardedScanner(text: Array(joined("Forwarded") ?? ""))
        let elements = scanner.elements() ?? []
        hops = elements.map { $0["for"] ?? "" }
        scheme = elements.last?["proto"] ?? ""
    }

    func walk(_ known: String, _ rest: ArraySlice<String>) -> String {
        guard trusted.contains(known), let next = rest.last.flatMap(address(in:)) else { return known }
        return walk(next, rest.dropLast())
    }
    scheme = scheme.trimmingCharacters(in: .whitespaces).lowercased()
    return ForwardedClient(address: walk(normalized(peer), hops[...]), scheme: scheme == "https" ? "https" : "http")
}

/// By hand: name, =, value or "value", and what comes between.
private struct ForwardedScanner {
    let text: [Character]
    var position = 0

    init(text: [Character]) { self.text = text }

    private var next: Character? { position < text.count ? text[position] : nil }

    mutating func elements() -> [[String: String]]? {
        var all: [[String: String]] = [[:]]
        skipBlanks()
        if next == nil { return [] }
        while true {
            skipBlanks()
            if next != ";", next != ",", next != nil {
                guard let (name, value) = pair() else { return nil }
                all[all.count - 1][name.lowercased()] = value
            }
            skipBlanks()
            switch next {
            case nil: return all
            case ";": position += 1
            case ",":
                position += 1
                all.append([:])
            default: return nil
            }
        }
    }

    private mutating func pair() -> (String, String)? {
        var name = ""
        while let character = next, character != "=" {
            if character == "," || character == ";" || character == "\"" { return nil }
            name.append(character)
            position += 1
        }
        guard next == "=" else { return nil }
        position += 1
        var value = ""
        if next == "\"" {
            position += 1
            while let character = next, character != "\"" {
                if character == "\\" { position += 1 }
                guard let meant = next else { return nil }
                value.append(meant)
                position += 1
            }
            guard next == "\"" else { return nil }
            position += 1
            return (name, value)
        }
        while let character = next, !",; \t\"".contains(character) {
            value.append(character)
            position += 1
        }
        return next == "\"" ? nil : (name, value)
    }

    private mutating func skipBlanks() { while next == " " || next == "\t" { position += 1 } }
}

private func normalized(_ text: String) -> String { address(in: text) ?? text }

private func address(in text: String) -> String? {
    let text = text.trimmingCharacters(in: .whitespaces)
    if let plain = try? SocketAddress(host: text, port: 0) { return plain.host }
    guard let match = text.wholeMatch(of: #/\[([^\[\]]+)\](:([0-9]{1,5}))?|([0-9.]+):([0-9]{1,5})/#) else { return nil }
    let port = match.output.3 ?? match.output.5
    if let port, Int(port)! > 65_535 { return nil }
    return (try? SocketAddress(host: String(match.output.1 ?? match.output.4!), port: 0))?.host
}
