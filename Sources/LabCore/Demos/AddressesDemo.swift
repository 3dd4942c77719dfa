// addresses: an address as text, as bytes, and as the structure that the kernel takes; and what getaddrinfo says for a name.
import Course
import Foundation
import GraderKit
import Sockets
import Wire

extension Demo {
    static let addresses = Demo(
        "addresses", Lesson02.slug,
        "one address in all its forms: text, bytes, sockaddr, name",
        "一个地址的各种样子：文本、字节、sockaddr、名字", port: nil, [.mine], isShow: true
    ) { play in
        let functions = Functions(Caller(play, play.subject))
        play.introduce(
            say(
                "People write addresses as text, packets carry them as bytes, and bind and connect take a structure.",
                "人写的地址是文本，数据包里的是字节，bind 和 connect 要的是结构体。"))
        try play.showEach(
            examples: ["127.0.0.1:12000", "[::1]:12000", "localhost"], prompt: say("address> ", "地址> "),
            hint: say(
                "Type an address or a name, with a port or without (Ctrl-D ends).", "输入地址或主机名，端口可有可无（Ctrl-D 结束）。")
        ) { text in
            let asked = try Asked(text, functions)
            play.screen.print(try play.options.quiet ? asked.summary : asked.lines)
        }
    }
}

/// Lesson 02's functions, in a process of their own.
private struct Functions {
    let caller: Caller
    private let none = Endpoint(host: "", port: 0)

    init(_ caller: Caller) { self.caller = caller }

    /// Nil if the function throws.
    private func value(_ entry: String, _ arguments: Value...) throws -> Value? {
        try caller.result(entry, arguments)
    }

    func isAddress(_ text: String) throws -> Bool { try value("parse-address", .string(text)) != nil }

    func bytes(_ text: String) throws -> [UInt8] { try [value("parse-address", .string(text)) ?? .bytes([])].bytes(0) }

    func sockaddr(_ host: String, _ port: UInt16) throws -> [UInt8] {
        try [value("socket-address", .string(host), .int(Int(port))) ?? .bytes([])].bytes(0)
    }

    /// Host and port of `[::1]:80`; nil if it is no endpoint.
    func endpoint(_ text: String) throws -> (String, UInt16)? {
        guard let parts = try value("parse-endpoint", .string(text)), case .list(let list) = parts else { return nil }
        return (try list.string(0), UInt16(try list.int(1)))
    }

    func resolve(_ name: String) throws -> [String] {
        guard let found = try value("resolve", .string(name)), case .list(let list) = found else { return [] }
        return try list.indices.map { try list.string($0) }
    }
}

/// What was typed: a numeric address, or a name and what it stands for.
private struct Asked {
    private let text: String
    private let port: UInt16
    private let isName: Bool
    private let hosts: [String]
    private let functions: Functions

    /// - Throws: `NoAnswer` if it is no address, and nobody knows the name.
    init(_ text: String, _ functions: Functions) throws {
        self.text = text
        self.functions = functions
        if let (host, port) = try functions.endpoint(text) {
            (self.port, isName, hosts) = (port, false, [host])
        } else if try functions.isAddress(text) {
            (port, isName, hosts) = (12000, false, [text])
        } else {
            let parts = text.split(separator: ":", omittingEmptySubsequences: false)
            let name = String(parts[0])
            isName = true
            port = parts.count == 2 ? UInt16(parts[1]) ?? 12000 : 12000
            hosts = try functions.resolve(name)
            guard !hosts.isEmpty else {
                throw NoAnswer(
                    text: say(
                        "\(name) is no address, and getaddrinfo knows no host of that name.",
                        "\(name) 不是地址，getaddrinfo 也查不到叫这个名字的主机。"),
                    exit: .usage)
            }
        }
    }

    var summary: [StyledText] {
        get throws {
            try hosts.map { host in
                let bytes = try functions.bytes(plain(host)).map(hex).joined(separator: " ")
                return StyledText("\(host): \(bytes)")
            }
        }
    }

    /// Without the interface of a link-local address, which is no part of its bytes.
    private func plain(_ host: String) -> String { String(host.prefix { $0 != "%" }) }

    var lines: [StyledText] {
        get throws {
            var lines: [StyledText] = [StyledText(text, .strong)]
            if isName {
                lines.append(
                    StyledText(say("getaddrinfo: ", "getaddrinfo：")) + StyledText(hosts.joined(separator: ", "), .code))
                lines += StyledText(
                    say(
                        "A client tries them in this order, until one answers.", "客户端按这个顺序逐个尝试，直到有一个应答。"),
                    .quiet
                ).wrapped(to: 78)
            }
            for host in hosts.prefix(4) { lines += try picture(plain(host)) }
            return lines + [StyledText()]
        }
    }

    private func picture(_ host: String) throws -> [StyledText] {
        let bytes = try functions.bytes(host)
        let structure = try functions.sockaddr(host, port)
        let isIPv4 = bytes.count == 4
        let portBytes = Array(structure.dropFirst(2).prefix(2))
        var fields: [(bytes: [UInt8], name: String, meaning: String)] = [
            (
                Array(structure.prefix(2)), isIPv4 ? "sin_family" : "sin6_family",
                (isIPv4 ? "AF_INET" : "AF_INET6") + say(", in host order", "，主机字节序")
            ),
            (
                portBytes, isIPv4 ? "sin_port" : "sin6_port",
                say("\(port), in network order", "\(port)，网络字节序")
            ),
        ]
        if isIPv4 {
            fields.append((Array(structure[4..<8]), "sin_addr", host))
            fields.append((Array(structure.dropFirst(8)), "sin_zero", say("unused", "不用")))
        } else {
            fields.append((Array(structure[4..<8]), "sin6_flowinfo", say("unused", "不用")))
            fields.append((Array(structure[8..<16]), "sin6_addr", host))
            fields.append((Array(structure[16..<24]), "", ""))
            fields.append((Array(structure.dropFirst(24)), "sin6_scope_id", say("of link-local addresses", "链路本地地址用")))
        }
        let title =
            StyledText("  " + (isIPv4 ? "sockaddr_in" : "sockaddr_in6"), .code)
            + StyledText(say("  \(structure.count) bytes", "  \(structure.count) 字节"), .quiet)
        var offset = 0
        return [title]
            + fields.map { field in
                defer { offset += field.bytes.count }
                let bytes = field.bytes.map(hex).joined(separator: " ")
                let start = StyledText("\(offset)".leftPadded(to: 6), .quiet) + StyledText("  " + bytes, Style(.green))
                guard !field.name.isEmpty else { return start }
                return start.padded(to: 33) + StyledText(field.name.padded(to: 15)) + StyledText(field.meaning, .quiet)
            }
    }
}
