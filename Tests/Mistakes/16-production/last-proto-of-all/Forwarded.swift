import Course
import Sockets

func forwardedClient(peer: String, fields: [HTTPField], trust: ProxyTrust) -> ForwardedClient {
    let trusted = Set(trust.proxies.compactMap(canonical))
    let peer = canonical(peer) ?? peer
    guard trusted.contains(peer) else { return ForwardedClient(address: peer, scheme: "http") }
    let hops = trust.header == .forwarded ? forwardedHops(fields) : xForwardedHops(fields)

    // Each proxy adds whom it heard from at the right. So from the right: as long as somebody is trusted, what it says
    // about the one before it is believed. The first that is not trusted is the client; what stands further left is
    // what that client wrote there.
    var client = peer
    for hop in hops.reversed() {
        guard trusted.contains(client), let before = hop.address else { break }
        client = before
    }
    // The scheme is what our own proxy says of its own connection: the last one.
    let isSecure = hops.compactMap(\.scheme).last?.lowercased() == "https"
    return ForwardedClient(address: client, scheme: isSecure ? "https" : "http")
}

/// What one proxy says: whom it heard from, nil if that is no address, and how.
private struct Hop {
    var address: String?
    var scheme: String?
}

/// `X-Forwarded-For: 203.0.113.7, 10.0.0.2`, on one line or on several; `X-Forwarded-Proto` goes with the last of them.
private func xForwardedHops(_ fields: [HTTPField]) -> [Hop] {
    var hops = elements(fields, "X-Forwarded-For").map { Hop(address: address(in: $0)) }
    if hops.isEmpty { hops = [Hop()] }
    hops[hops.count - 1].scheme = elements(fields, "X-Forwarded-Proto").last
    return hops
}

/// The elements of a list field, without the white space around them.
private func elements(_ fields: [HTTPField], _ name: String) -> [String] {
    values(fields, name).flatMap { $0.split(separator: ",", omittingEmptySubsequences: false).map(trimmed) }
}

private func values(_ fields: [HTTPField], _ name: String) -> [String] {
    fields.filter { $0.name.lowercased() == name.lowercased() }.map(\.value)
}

/// `Forwarded: for=192.0.2.43, for="[2001:db8::17]:4711";proto=https` (RFC 7239). A field that is not written by its
/// rules says nothing: whoever reads on in it, reads what the client wanted to be read.
private func forwardedHops(_ fields: [HTTPField]) -> [Hop] {
    var hops: [Hop] = []
    for value in values(fields, "Forwarded") {
        guard let elements = splitOutsideQuotes(value, at: ",") else { return [] }
        for element in elements {
            guard let pairs = splitOutsideQuotes(element, at: ";") else { return [] }
            var hop = Hop()
            for pair in pairs where !pair.isEmpty {
                guard let equals = pair.firstIndex(of: "=") else { return [] }
                let value = unquoted(String(pair[pair.index(after: equals)...]))
                switch pair[..<equals].lowercased() {
                case "for": hop.address = address(in: value)
                case "proto": hop.scheme = value
                default: break
                }
            }
            hops.append(hop)
        }
    }
    return hops
}

/// Nil if a quoted string does not end.
private func splitOutsideQuotes(_ text: String, at separator: Character) -> [String]? {
    var parts = [""]
    var isQuoted = false
    var isEscaped = false
    for character in text {
        if isEscaped {
            isEscaped = false
        } else if isQuoted && character == "\\" {
            isEscaped = true
        } else if character == "\"" {
            isQuoted.toggle()
        } else if character == separator && !isQuoted {
            parts.append("")
            continue
        }
        parts[parts.count - 1].append(character)
    }
    return isQuoted ? nil : parts.map(trimmed)
}

/// `"a\"b"` is `a"b`.
private func unquoted(_ text: String) -> String {
    guard text.count >= 2, text.first == "\"", text.last == "\"" else { return text }
    var result = ""
    var isEscaped = false
    for character in text.dropFirst().dropLast() {
        if character == "\\" && !isEscaped {
            isEscaped = true
        } else {
            result.append(character)
            isEscaped = false
        }
    }
    return result
}

/// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`. Nil for `unknown`, for names and for
/// whatever else somebody wrote there.
private func address(in text: String) -> String? {
    if text.first == "[" {
        guard let end = text.firstIndex(of: "]") else { return nil }
        let rest = text[text.index(after: end)...]
        guard rest.isEmpty || rest.first == ":" && isPort(rest.dropFirst()) else { return nil }
        return canonical(String(text[text.index(after: text.startIndex)..<end]))
    }
    if let whole = canonical(text) { return whole }
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    return parts.count == 2 && isPort(parts[1]) ? canonical(String(parts[0])) : nil
}

private func isPort(_ text: Substring) -> Bool {
    (1...5).contains(text.utf8.count) && text.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
        && Int(text).map { $0 <= 65_535 } == true
}

/// One notation for one address: `::1` and `0:0::0:1` are the same proxy. Nil for what is not a numeric address.
private func canonical(_ text: String) -> String? { (try? SocketAddress(host: text, port: 0))?.host }

private func trimmed(_ text: some StringProtocol) -> String {
    let isBlank = { (character: Character) in character == " " || character == "\t" }
    return String(text.drop(while: isBlank).reversed().drop(while: isBlank).reversed())
}
