import Course
import Sockets

private enum Token: Equatable { case comma, semicolon, equals, word(String), quoted(String) }

/// Nil if a quote does not end.
private func tokens(_ text: String) -> [Token]? {
    var result: [Token] = []
    var word = String.UnicodeScalarView()
    func flush() {
        let text = trim(String(word))
        if !text.isEmpty { result.append(.word(text)) }
        word = .init()
    }
    var rest = text.unicodeScalars[...]
    while let scalar = rest.popFirst() {
        switch scalar {
        case ",": flush(); result.append(.comma)
        case ";": flush(); result.append(.semicolon)
        case "=": flush(); result.append(.equals)
        case "\"":
            flush()
            var content = String.UnicodeScalarView()
            while true {
                guard let inner = rest.popFirst() else { return nil }
                if inner == "\"" { break }
                if inner == "\\" {
                    guard let escaped = rest.popFirst() else { return nil }
                    content.append(escaped)
                } else {
                    content.append(inner)
                }
            }
            result.append(.quoted(String(content)))
        default: word.append(scalar)
        }
    }
    flush()
    return result
}

private func trim(_ text: some StringProtocol) -> String {
    var scalars = text.unicodeScalars[...]
    while let first = scalars.first, first == " " || first == "\t" { scalars.removeFirst() }
    while let last = scalars.last, last == " " || last == "\t" { scalars.removeLast() }
    return String(String.UnicodeScalarView(scalars))
}

private struct Said { var client: String?; var proto: String? }

private func parse(_ field: String) -> [Said]? {
    guard let all = tokens(field) else { return nil }
    var elements: [Said] = []
    for element in all.split(separator: .comma, omittingEmptySubsequences: false) {
        var said = Said()
        for pair in element.split(separator: .semicolon) {
            let parts = Array(pair)
            guard parts.count >= 2, case .word(let name) = parts[0], parts[1] == .equals else { return nil }
            var value: String?
            switch parts.dropFirst(2).first {
            case .word(let text)?, .quoted(let text)?: value = parts.count == 3 ? text : nil
            default: value = nil
            }
            switch name.lowercased() {
            case "for": said.client = value.flatMap(numeric)
            case "proto": said.proto = value
            default: break
            }
        }
        elements.append(said)
    }
    return elements
}

private func one(_ address: String) -> String? { try? SocketAddress(host: address, port: 0).host }

private func numeric(_ text: String) -> String? {
    let scalars = Array(text.unicodeScalars)
    func string(_ range: some RangeExpression<Int>) -> String { String(String.UnicodeScalarView(scalars[range])) }
    var port: String?
    var address = text
    if scalars.first == "[" {
        guard let end = scalars.firstIndex(of: "]") else { return nil }
        address = string(1..<end)
        if end + 1 < scalars.count {
            guard scalars[end + 1] == ":" else { return nil }
            port = string((end + 2)...)
        }
    } else if scalars.filter({ $0 == ":" }).count == 1, let colon = scalars.firstIndex(of: ":") {
        address = string(..<colon)
        port = string((colon + 1)...)
    }
    if let port {
        let digits = Array(port.utf8)
        guard (1...5).contains(digits.count), digits.allSatisfy({ $0 >= 48 && $0 <= 57 }), let number = Int(port),
            number <= 65_535
        else { return nil }
    }
    return one(address)
}

func forwardedClient(peer: String, fields: [HTTPField], trust: ProxyTrust) -> ForwardedClient {
    let friends = Set(trust.proxies.compactMap(one))
    let start = one(peer) ?? peer
    let nobody = ForwardedClient(address: start, scheme: "http")
    if !friends.contains(start) { return nobody }

    func all(_ name: String) -> [String] { fields.filter { $0.name.lowercased() == name }.map(\.value) }
    func list(_ name: String) -> [String] {
        all(name).flatMap { value in
            value.unicodeScalars.split(separator: ",", omittingEmptySubsequences: false).map { trim(String($0)) }
        }
    }
    var chain: [String?]
    let proto: String?
    if trust.header == .forwarded {
        var said: [Said] = []
        for value in all("forwarded") {
            guard let more = parse(value) else { return nobody }
            said += more
        }
        chain = said.map(\.client)
        proto = said.last?.proto
    } else {
        chain = list("x-forwarded-for").map(numeric)
        proto = list("x-forwarded-proto").last
    }

    func walk(from address: String) -> String {
        guard friends.contains(address), let last = chain.popLast(), let next = last else { return address }
        return walk(from: next)
    }
    return ForwardedClient(address: walk(from: start), scheme: proto?.lowercased() == "https" ? "https" : "http")
}
