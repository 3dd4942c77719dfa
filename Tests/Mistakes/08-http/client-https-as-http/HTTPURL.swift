// An http URL taken apart, and a redirect's Location put together with it (RFC 3986, RFC 9110 section 4.2).
import Course

struct HTTPURL: Equatable {
    /// What a connection belongs to. Another port is another origin: another program may listen there.
    struct Origin: Hashable {
        /// Lower case; an IPv6 address without its brackets.
        var host: String
        var port: UInt16
    }

    var origin: Origin
    /// Path and query, as they stand in the request line: never empty, never with a `#`.
    var target: String

    /// - Throws: `ClientError.badURL`, `ClientError.unsupportedScheme`.
    init(_ text: String) throws {
        // A space would end the target in the request line, a CR LF the line itself: what follows would be a field, or a
        // request, of somebody else's making.
        guard text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) else { throw ClientError.badURL }
        guard let colon = text.firstIndex(of: ":"), isScheme(text[..<colon]) else { throw ClientError.badURL }
        guard ["http", "https"].contains(text[..<colon].lowercased()) else { throw ClientError.unsupportedScheme }
        var rest = text[text.index(after: colon)...]
        guard rest.hasPrefix("//") else { throw ClientError.badURL }
        rest = rest.dropFirst(2).prefix { $0 != "#" }
        let authority = rest.prefix { $0 != "/" && $0 != "?" }
        origin = try HTTPURL.origin(authority)
        let path = rest[authority.endIndex...]
        target = path.hasPrefix("/") ? String(path) : "/" + path
    }

    /// `host`, `host:port`, `[::1]:port`. A name and password before an `@` are refused: they would end up in logs, and
    /// have been used to make one host look like another (RFC 9110 section 4.2.4).
    private static func origin(_ authority: Substring) throws -> Origin {
        var host = authority
        var port: Substring = ""
        if authority.hasPrefix("[") {
            guard let end = authority.firstIndex(of: "]") else { throw ClientError.badURL }
            host = authority[..<end].dropFirst()
            let rest = authority[end...].dropFirst()
            guard rest.isEmpty || rest.hasPrefix(":") else { throw ClientError.badURL }
            port = rest.dropFirst()
            guard host.contains(":"), host.allSatisfy({ $0.isHexDigit || $0 == ":" || $0 == "." }) else {
                throw ClientError.badURL
            }
        } else {
            if let colon = authority.firstIndex(of: ":") {
                host = authority[..<colon]
                port = authority[colon...].dropFirst()
            }
            guard !host.isEmpty, host.allSatisfy({ $0.isLetter || $0.isNumber || "-._~".contains($0) }) else {
                throw ClientError.badURL
            }
        }
        // A port may be left out behind its colon, too.
        guard port.allSatisfy(\.isNumber), let number = port.isEmpty ? 80 : UInt16(port) else {
            throw ClientError.badURL
        }
        return Origin(host: host.lowercased(), port: number)
    }

    /// The Host field. Servers compare it with what they were configured with: 80 goes without saying, every other port
    /// does not.
    var host: String {
        let name = origin.host.contains(":") ? "[\(origin.host)]" : origin.host
        return origin.port == 80 ? name : "\(name):\(origin.port)"
    }

    var text: String { "http://" + host + target }

    // MARK: Relative references (RFC 3986 section 5.2)

    /// Where a Location leads from here: `http://other/x`, `//other/x`, `/x`, `x`, `../x`, `?y`.
    func resolved(_ reference: String) throws -> HTTPURL {
        // Servers do send unescaped spaces and UTF-8. Escaped, they mean what was meant.
        let reference = HTTPURL.escaped(reference).prefix { $0 != "#" }
        let start = reference.prefix { !"/?:".contains($0) }
        if reference[start.endIndex...].hasPrefix(":"), isScheme(start) { return try HTTPURL(String(reference)) }
        if reference.hasPrefix("//") { return try HTTPURL("http:" + reference) }
        var result = self
        if reference.isEmpty { return result }
        let path = target.prefix { $0 != "?" }
        let (newPath, query) = (reference.prefix { $0 != "?" }, reference.drop { $0 != "?" })
        if newPath.isEmpty {
            result.target = String(path + query)
        } else if newPath.hasPrefix("/") {
            result.target = HTTPURL.withoutDots(newPath) + query
        } else {
            // Instead of everything behind the last slash.
            let folder = path[...(path.lastIndex(of: "/") ?? path.startIndex)]
            result.target = HTTPURL.withoutDots(folder + newPath) + query
        }
        guard result.target.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) else { throw ClientError.badURL }
        return result
    }

    private static func escaped(_ text: String) -> String {
        text.utf8.reduce(into: "") { result, byte in
            if byte == 0x20 || byte >= 0x80 {
                result += percentEncoded(byte)
            } else {
                result.unicodeScalars.append(Unicode.Scalar(byte))
            }
        }
    }

    /// `/a/./b/../c` is `/a/c`; nothing leads above the root.
    private static func withoutDots(_ path: Substring) -> String {
        var kept: [Substring] = []
        let segments = path.split(separator: "/", omittingEmptySubsequences: false).dropFirst()
        for (number, segment) in segments.enumerated() {
            switch segment {
            case ".", "..":
                if segment == ".." { _ = kept.popLast() }
                // `/a/..` is a folder, and so is `/a/.`.
                if number == segments.count - 1 { kept.append("") }
            default: kept.append(segment)
            }
        }
        return "/" + kept.joined(separator: "/")
    }
}

/// `http`, `mailto`: a letter, then letters, digits, `+`, `-`, `.`.
private func isScheme(_ text: Substring) -> Bool {
    text.first?.isLetter == true && text.allSatisfy { $0.isLetter || $0.isNumber || "+-.".contains($0) }
}
