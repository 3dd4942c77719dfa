import Course
import Foundation
import Sockets

func forwardedClient(peer: String, fields: [HTTPField], trust: ProxyTrust) -> ForwardedClient {
    let from = NumericAddress(peer)?.text ?? peer
    let isOurs = { (address: String) in trust.proxies.contains { NumericAddress($0)?.text == address } }
    guard isOurs(from) else { return ForwardedClient(address: from, scheme: "http") }

    func all(_ name: String) -> [String] {
        fields.filter { $0.name.caseInsensitiveCompare(name) == .orderedSame }.map(\.value)
    }
    let hops: [(heard: String, scheme: String)]
    let scheme: String
    switch trust.header {
    case .forwarded:
        hops =
            (try? all("Forwarded").flatMap {
                var text = Scan($0); return try text.elements()
            }) ?? []
        scheme = hops.last?.scheme ?? "http"
    default:
        let list = { (name: String) in
            all(name).flatMap { $0.components(separatedBy: ",") }
                .map { $0.trimmingCharacters(in: CharacterSet(charactersIn: " \t")) }
        }
        hops = list("X-Forwarded-For").map { ($0, "") }
        scheme = list("X-Forwarded-Proto").last ?? "http"
    }

    // The peer, and then whom each of them says that it has heard from, as long as it is one of ours.
    let believed = hops.reversed().reduce(into: (address: from, isOver: false)) { state, hop in
        guard !state.isOver, isOurs(state.address), let next = NumericAddress(node: hop.heard) else {
            state.isOver = true
            return
        }
        state.address = next.text
    }
    return ForwardedClient(address: believed.address, scheme: scheme.lowercased() == "https" ? "https" : "http")
}

private struct NumericAddress {
    let text: String

    init?(_ text: String) {
        guard let address = try? SocketAddress(host: text, port: 0) else { return nil }
        self.text = address.host
    }

    /// Perhaps in brackets, perhaps with a port.
    init?(node: String) {
        if let plain = NumericAddress(node) {
            self = plain
            return
        }
        var rest = Substring(node)
        let host: Substring
        if rest.popFirst(if: "[") {
            guard let bracket = rest.firstIndex(of: "]") else { return nil }
            host = rest[..<bracket]
            rest = rest[rest.index(after: bracket)...]
        } else {
            host = rest.prefix { $0 != ":" }
            rest = rest[host.endIndex...]
        }
        if !rest.isEmpty {
            guard rest.popFirst(if: ":"), NumericAddress.isPort(rest) else { return nil }
        }
        self.init(String(host))
    }

    private static func isPort(_ text: Substring) -> Bool {
        let isAllDigits = text.unicodeScalars.allSatisfy { ("0"..."9").contains($0) }
        return isAllDigits && text.count <= 5 && UInt16(text) != nil
    }
}

extension Substring {
    fileprivate mutating func popFirst(if character: Character) -> Bool {
        guard first == character else { return false }
        removeFirst()
        return true
    }
}

/// A parser by descent: elements of pairs of a name and a value.
private struct Scan {
    struct Wrong: Error {}
    private var rest: ArraySlice<Character>

    init(_ text: String) { rest = Array(text)[...] }

    mutating func elements() throws -> [(heard: String, scheme: String)] {
        var result = [try element()]
        while rest.first == "," {
            rest.removeFirst()
            result.append(try element())
        }
        guard rest.isEmpty else { throw Wrong() }
        return result
    }

    private mutating func element() throws -> (heard: String, scheme: String) {
        var heard = ""
        var scheme = ""
        while true {
            if let (name, value) = try pair() {
                if name == "for" { heard = value }
                if name == "proto" { scheme = value }
            }
            guard rest.first == ";" else { return (heard, scheme) }
            rest.removeFirst()
        }
    }

    private mutating func pair() throws -> (name: String, value: String)? {
        let name = try text(until: ["=", ",", ";"])
        guard rest.first == "=" else {
            if name.isEmpty { return nil }
            throw Wrong()
        }
        rest.removeFirst()
        return (name.lowercased(), try text(until: [",", ";"]))
    }

    /// With what stands in quotes taken out of them.
    private mutating func text(until ends: Set<Character>) throws -> String {
        skipBlanks()
        if rest.first == "\"" {
            let inside = try quoted()
            skipBlanks()
            if rest.first.map(ends.contains) ?? true { return inside }
            // Something behind the quotes: no value that means anything, but its end is known.
            return "\"" + inside + "\"" + (try bare(until: ends))
        }
        return try bare(until: ends)
    }

    private mutating func bare(until ends: Set<Character>) throws -> String {
        var result = ""
        while let next = rest.first, !ends.contains(next) {
            if next == "\"" {
                result += "\"" + (try quoted()) + "\""
            } else {
                result.append(next)
                rest.removeFirst()
            }
        }
        while let last = result.last, last == " " || last == "\t" { result.removeLast() }
        return result
    }

    private mutating func quoted() throws -> String {
        rest.removeFirst()
        var result = ""
        while let next = rest.popFirst() {
            if next == "\"" { return result }
            if next == "\\" {
                guard let literal = rest.popFirst() else { break }
                result.append(literal)
            } else {
                result.append(next)
            }
        }
        throw Wrong()
    }

    private mutating func skipBlanks() {
        while rest.first == " " || rest.first == "\t" { rest.removeFirst() }
    }
}
