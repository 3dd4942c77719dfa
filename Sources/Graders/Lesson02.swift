// Grader of lesson 02: addresses. What is right is asked of the system's own inet_pton, inet_ntop, getaddrinfo, and of
// SocketAddress. The checks of sockets are in Lesson02Sockets.swift, what wrong answers mean in Lesson02Mistakes.swift.
import Course
import GraderKit
import Sockets
import Wire

let lesson02 = LessonGrader(slug: Lesson02.slug, checks: textChecks + byHandChecks + structureChecks + socketChecks)

private let textChecks = [
    Check("parse-v4") { trial in
        for text in ipv4Texts + trial.randomTexts(bytes: 4) { try trial.expectParsed(text) }
    },
    Check("parse-v6") { trial in
        for text in ipv6Texts + trial.randomTexts(bytes: 16) { try trial.expectParsed(text) }
    },
    Check("parse-refuses") { trial in
        for text in looseIPv4 + leadingZeros + wrongParts + wrongCharacters + outOfRange + wrongIPv6 {
            try trial.expectNoAddress(text)
        }
    },
    Check("parse-zero-byte") { trial in
        for text in ["127.0.0.1\0", "127.0.0.1\0.example.org", "::1\0", "\0"] { try trial.expectNoAddress(text) }
    },
    Check("format-v4") { trial in
        for text in ipv4Texts + trial.randomTexts(bytes: 4) { try trial.expectFormatted(text) }
    },
    Check("format-v6", suspects: [.crash(meaning: "text-room-too-small") { $0.contains("found nil") }]) { trial in
        let longest = "fdfe:dcba:9876:5432:1fed:cba9:8765:4321"
        for text in ipv6Texts + [longest] + trial.randomTexts(bytes: 16) { try trial.expectFormatted(text) }
    },
    Check("format-length", suspects: [.crash(meaning: "length-not-checked")]) { trial in
        for count in [0, 1, 3, 5, 8, 15, 17, 32] {
            let bytes = trial.random.bytes(count)
            try trial.expectThrown(
                AddressError.wrongLength(count), by: "format-address", "formatAddress", [.bytes(bytes)],
                of: say("\(count) bytes", "\(count) 个字节")
            ) { _ in "length-not-checked" }
        }
    },
]

private let byHandChecks = [
    Check("by-hand-accepts") { trial in
        for text in ipv4Texts { try trial.expectByHand(text) }
        for number in 0...255 { try trial.expectByHand("\(number).\(255 - number).7.\(number)") }
    },
    Check("by-hand-range") { trial in for text in outOfRange { try trial.expectByHand(text) } },
    Check("by-hand-zeros") { trial in for text in leadingZeros { try trial.expectByHand(text) } },
    Check("by-hand-parts") { trial in for text in wrongParts { try trial.expectByHand(text) } },
    Check("by-hand-characters") { trial in
        for text in wrongCharacters + ["::1", "::ffff:1.2.3.4", "1.2.3.4\0"] { try trial.expectByHand(text) }
    },
    Check("by-hand-random") { trial in for _ in 0..<500 { try trial.expectByHand(trial.nearlyIPv4()) } },
]

private let structureChecks = [
    Check("sockaddr-in") { trial in try trial.expectStructures(of: ipv4Texts + trial.randomTexts(bytes: 4)) },
    Check("sockaddr-in6") { trial in try trial.expectStructures(of: ipv6Texts + trial.randomTexts(bytes: 16)) },
    Check("sockaddr-refuses") { trial in
        for host in ["localhost", "", "256.1.1.1", "127.1", "192.0.2.7 ", "[::1]", "127.0.0.1\0.example.org"] {
            try trial.expectThrown(
                AddressError.notAnAddress(host), by: "socket-address", "socketAddress", [.string(host), .int(80)],
                of: host.debugDescription
            ) { value in
                guard case .bytes(let bytes) = value, bytes.count >= 8 else { return nil }
                return bytes[4..<8].allSatisfy { $0 == 0 }
                    ? "host-became-any" : looseness(host, Array(bytes[4..<8]))
            }
        }
    },
    Check("sockaddr-un") { trial in
        for path in ["/tmp/lab.sock", "chat", "/run/lab/套接字.sock", "@not-abstract"] {
            try trial.expectStructure(path: path)
        }
    },
    Check("unix-longest", suspects: [.crash(meaning: "length-not-checked") { $0.contains("too many") }]) { trial in
        let room = MemoryLayout.size(ofValue: sockaddr_un().sun_path)
        // Every byte but that of the final zero: once in ASCII, once with characters of three bytes.
        let wide = String(repeating: "套", count: (room - 1) / 3)
        try trial.expectStructure(path: String(repeating: "a", count: room - 1))
        try trial.expectStructure(path: wide + String(repeating: "x", count: room - 1 - wide.utf8.count))
        for path in [
            String(repeating: "a", count: room), String(repeating: "b", count: room + 1),
            String(repeating: "套", count: room / 3 + 1), String(repeating: "c", count: 5000),
        ] { try trial.expectPathTooLong(path) }
    },
    Check("unix-zero-byte") { trial in
        for path in ["", "\0", "\0abstract", "/tmp/lab.sock\0.bak", "/tmp/lab.sock\0"] {
            try trial.expectThrown(
                AddressError.notAnAddress(path), by: "unix-socket-address", "unixSocketAddress", [.string(path)],
                of: path.debugDescription
            ) { _ in path.utf8.first ?? 0 == 0 ? "abstract-name" : "cut-at-zero-byte" }
        }
    },

    Check("endpoint-v4") { trial in
        for host in ipv4Texts {
            try trial.expectEndpoint("\(host):80", host, 80)
            let port = UInt16.random(in: 0 ... .max, using: &trial.random)
            try trial.expectEndpoint("\(host):\(port)", host, port)
        }
    },
    Check("endpoint-v6") { trial in
        // The last two are addresses that could be written shorter: the host stays as it was written.
        for host in ipv6Texts + ["2001:DB8::0007", "0:0:0:0:0:0:0:1"] {
            try trial.expectEndpoint("[\(host)]:80", host, 80)
            let port = UInt16.random(in: 0 ... .max, using: &trial.random)
            try trial.expectEndpoint("[\(host)]:\(port)", host, port)
        }
    },
    Check("endpoint-port") { trial in
        for port: UInt16 in [0, 1, 80, 443, 12000, 65535] {
            try trial.expectEndpoint("127.0.0.1:\(port)", "127.0.0.1", port)
        }
        for port in [
            "65536", "65616", "99999", "4294967376", "18446744073709551696", "99999999999999999999999", "-1", "+80", "",
            " 80", "80 ", "80\n", "0x50", "8_0", "80a", "８０", "٨٠", "80\0",
        ] {
            try trial.expectNoEndpoint("127.0.0.1:\(port)")
            try trial.expectNoEndpoint("[::1]:\(port)")
        }
    },
    Check("endpoint-refuses") { trial in
        for text in [
            "", ":", ":80", "127.0.0.1", "::1", "[::1]", "::1:80", "2001:db8::7:443", "127.0.0.1:", "[::1]:", "[::1]80",
            "[::1:80", "::1]:80", "[]:80", "[127.0.0.1]:80", "[[::1]]:80", "localhost:80", "example.org:443",
            "[localhost]:80", "127.1:80", "127.0.0.1:80:80", "127.0.0.1 :80", " 127.0.0.1:80", "[ ::1]:80",
            "http://127.0.0.1:80", "127.0.0.1:80/", "127.0.0.1\0:80", "[::1]:80:443", "[::1]x:80",
        ] { try trial.expectNoEndpoint(text) }
    },
]

// MARK: Texts

private let ipv4Texts = ["127.0.0.1", "192.0.2.7", "0.0.0.0", "255.255.255.255", "10.20.30.40", "1.2.3.4", "8.8.4.100"]
private let ipv6Texts = [
    "::1", "::", "2001:db8::7", "fe80::1:2:3:4", "1:2:3:4:5:6:7:8", "::ffff:192.0.2.7", "1::", "2001:db8::1:0:0:1",
]
/// What inet_addr, inet_aton and getaddrinfo take for addresses, but inet_pton does not.
private let looseIPv4 = ["127.1", "127.0.1", "2130706433", "0x7f.0.0.1", "0x7f000001", "0177.0.0.1", "010.0.0.1"]
private let leadingZeros = [
    "010.0.0.1", "01.2.3.4", "1.02.3.4", "1.2.3.04", "192.168.001.001", "00.0.0.0", "0.0.0.00", "000.0.0.0", "08.9.1.1",
]
private let wrongParts = [
    "", "1", "1.2", "1.2.3", "127.1", "2130706433", "1.2.3.4.5", "1..2.3", "1..2.3.4", ".1.2.3", ".1.2.3.4", "1.2.3.",
    "1.2.3.4.", "...", "....",
]
private let wrongCharacters = [
    " 1.2.3.4", "1.2.3.4 ", "1. 2.3.4", "1.2.3.4\n", "1.2.3.4\r\n", "\t1.2.3.4", "+1.2.3.4", "1.2.3.+4", "-1.2.3.4",
    "-0.0.0.0", "0x1.2.3.4", "1e1.2.3.4", "1_0.2.3.4", "1.2.3.4/8", "1.2.3.4:80", "1,2,3,4", "a.b.c.d", "localhost",
    "１.２.３.４", "١.٢.٣.٤", "1.2.3．4", "1.2.3.4\u{301}", "1.2.3.²",
]
private let outOfRange = [
    "256.0.0.1", "0.0.0.256", "1.260.3.4", "999.1.1.1", "300.300.300.300", "1000.1.1.1", "1.2.3.4294967297",
    "1.2.3.18446744073709551617", "99999999999999999999999999999999.1.1.1",
]
private let wrongIPv6 = [
    ":", ":::", "1::2::3", "12345::", "00001::", "::g", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", ":1:2:3:4:5:6:7:8",
    "[::1]",
    "::1 ", " ::1", "::1%lo", "::1%1", "fe80::1%lo", "::1.2.3", "::1.2.3.4.5", "::01.2.3.4", "::1/128", "fe80:",
]

extension Trial {
    /// Addresses as inet_ntop writes them.
    fileprivate func randomTexts(bytes count: Int) -> [String] {
        (0..<20).map { _ in addressText(random.bytes(count)) }
    }

    /// An IPv4 address, or one with a small fault.
    fileprivate func nearlyIPv4() -> String {
        var text = Array(addressText(random.bytes(4)).utf8)
        for _ in 0..<Int.random(in: 0...2, using: &random) {
            let place = Int.random(in: 0...text.count, using: &random)
            let byte = "0123456789.. +-x".utf8.randomElement(using: &random) ?? 0
            switch Int.random(in: 0..<3, using: &random) {
            case 0: text.insert(byte, at: place)
            case 1 where place < text.count: text.remove(at: place)
            case 2 where place < text.count: text[place] = byte
            default: text.append(byte)
            }
        }
        return String(decoding: text, as: UTF8.self)
    }
}

/// The bytes of an address, as inet_pton sees it; a text with a zero byte is none.
func addressBytes(_ text: String) -> [UInt8]? {
    guard !text.utf8.contains(0) else { return nil }
    for (family, count) in [(AF_INET, 4), (AF_INET6, 16)] {
        var bytes = [UInt8](repeating: 0, count: count)
        if inet_pton(family, text, &bytes) == 1 { return bytes }
    }
    return nil
}

func addressText(_ bytes: [UInt8]) -> String {
    var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
    inet_ntop(bytes.count == 4 ? AF_INET : AF_INET6, bytes, &text, socklen_t(text.count))
    return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
}

// MARK: What is asked

extension Trial {
    fileprivate func expectParsed(_ text: String) throws {
        guard let bytes = addressBytes(text) else { throw LabError("\(text) is no address") }
        let expected = say(
            "parseAddress(\(text.debugDescription)) is \(hexText(bytes))",
            "parseAddress(\(text.debugDescription)) 得到 \(hexText(bytes))")
        let got: [UInt8]
        do {
            got = try [begin("parse-address", [.string(text)]).value(expecting: expected)].bytes(0)
        } catch var failure as Failure {
            if text == "255.255.255.255" { failure.cause = "all-ones-refused" }
            if text.contains(":") && text.contains(".") { failure.cause = "dot-means-ipv4" }
            throw failure
        }
        guard got != bytes else { return }
        throw Failure(
            expected: expected, got: Value.bytes(got).text,
            cause: got == bytes.reversed()
                ? "address-turned" : got.count == 4 && bytes.suffix(4) == got[...] ? "mapped-made-ipv4" : nil)
    }

    fileprivate func expectNoAddress(_ text: String) throws {
        try expectThrown(
            AddressError.notAnAddress(text), by: "parse-address", "parseAddress", [.string(text)],
            of: text.debugDescription
        ) { value in
            if case .bytes(let bytes) = value { looseness(text, bytes) } else { nil }
        }
    }

    /// - Parameter accepted: names the mistake of a function that returned this value where it must throw.
    fileprivate func expectThrown(
        _ error: AddressError, by entry: String, _ function: String, _ arguments: [Value], of what: String,
        accepted: (Value) -> String?
    ) throws {
        let expected = say(
            "\(function) of \(what) throws AddressError.\(error)", "对 \(what)，\(function) 抛出 AddressError.\(error)")
        let outcome = try begin(entry, arguments).outcome(expecting: expected)
        switch outcome {
        case .threw("AddressError", _, _, "\(error)"): return
        case .threw("AddressError", _, _, _):
            let isOfAPart = entry == "parse-endpoint"
            throw Failure(expected: expected, got: outcome.text, cause: isOfAPart ? "error-of-a-part" : nil)
        case .threw: throw Failure(expected: expected, got: outcome.text)
        case .returned(let value): throw Failure(expected: expected, got: outcome.text, cause: accepted(value))
        }
    }

    fileprivate func expectFormatted(_ text: String) throws {
        guard let bytes = addressBytes(text) else { throw LabError("\(text) is no address") }
        let expected = say(
            "formatAddress of \(hexText(bytes)) is \"\(text)\"", "formatAddress 把 \(hexText(bytes)) 写成 \"\(text)\"")
        let got: String
        do {
            got = try [begin("format-address", [.bytes(bytes)]).value(expecting: expected)].string(0)
        } catch var failure as Failure {
            if isLongest(text) {
                failure.cause = "no-room-for-zero"
            } else if text.utf8.count >= Int(INET_ADDRSTRLEN) {
                failure.cause = "text-room-too-small"
            }
            throw failure
        }
        guard got != text else { return }
        throw Failure(
            expected: expected, got: got.debugDescription,
            cause: formattingMistake(bytes, text, got)
                ?? (addressBytes(got) == bytes ? "another-spelling" : bytes.count == 16 ? "digits-lost" : nil))
    }

    fileprivate func expectByHand(_ text: String) throws {
        let bytes = addressBytes(text).flatMap { $0.count == 4 ? $0 : nil }
        let answer = bytes.map(hexText) ?? "nil"
        let expected = say(
            "parseIPv4(\(text.debugDescription)) is \(answer)", "parseIPv4(\(text.debugDescription)) 得到 \(answer)")
        let value = try begin("parse-ipv4", [.string(text)]).value(expecting: expected)
        switch (value, bytes) {
        case (.none, nil): return
        case (.none, _): throw Failure(expected: expected, got: "nil")
        case (.bytes(let got), nil):
            throw Failure(expected: expected, got: Value.bytes(got).text, cause: looseness(text, got))
        case (.bytes(let got), let bytes?):
            guard got != bytes else { return }
            throw Failure(
                expected: expected, got: Value.bytes(got).text, cause: got == bytes.reversed() ? "address-turned" : nil)
        default: throw LabError("parse-ipv4 answers bytes or nothing")
        }
    }

    fileprivate func expectStructures(of hosts: [String]) throws {
        for host in hosts {
            for port: UInt16 in [53, 0, 80, 256, 12000, 65535, .random(in: 0 ... .max, using: &random)] {
                let bytes = try SocketAddress(host: host, port: port).bytes
                let expected = say(
                    "socketAddress(\"\(host)\", \(port)) is these \(bytes.count) bytes",
                    "socketAddress(\"\(host)\", \(port)) 是这 \(bytes.count) 个字节")
                let got = try [
                    begin("socket-address", [.string(host), .int(Int(port))]).value(expecting: expected)
                ].bytes(0)
                guard got != bytes else { continue }
                let mistake = structureMistake(bytes, got, port: port)
                throw Failure(
                    expected: expected, got: got.count == bytes.count ? otherBytes : byteCount(got),
                    difference: byteDifference(expected: bytes, got: got), cause: mistake?.cause,
                    detail: mistake?.detail)
            }
        }
    }

    fileprivate func expectStructure(path: String) throws {
        let bytes = try SocketAddress(unixPath: path).bytes
        let expected = say(
            "unixSocketAddress(\(shortened(path))) is \(bytes.count) bytes: the family, the path, zeros",
            "unixSocketAddress(\(shortened(path))) 是 \(bytes.count) 个字节：地址族、路径、零")
        let got: [UInt8]
        do { got = try [begin("unix-socket-address", [.string(path)]).value(expecting: expected)].bytes(0) } catch var
            failure as Failure
        {
            if failure.got.contains("pathTooLong") { failure.cause = "room-too-small" }
            throw failure
        }
        guard got != bytes else { return }
        throw Failure(
            expected: expected, got: got.count == bytes.count ? otherBytes : byteCount(got),
            difference: byteDifference(expected: bytes, got: got), cause: unixStructureMistake(bytes, got))
    }

    fileprivate func expectPathTooLong(_ path: String) throws {
        let count = path.utf8.count
        let expected = say(
            "unixSocketAddress of a path of \(count) bytes, \(path.count) characters, throws AddressError.pathTooLong(\(count))",
            "路径有 \(count) 个字节、\(path.count) 个字符，unixSocketAddress 抛出 AddressError.pathTooLong(\(count))")
        let outcome = try begin("unix-socket-address", [.string(path)]).outcome(expecting: expected)
        var cause: String?
        switch outcome {
        case .threw("AddressError", _, _, "\(AddressError.pathTooLong(count))"): return
        case .threw("AddressError", _, _, "\(AddressError.pathTooLong(path.count))"): cause = "characters-not-bytes"
        case .threw("AddressError", _, _, "\(AddressError.pathTooLong(count + 1))"): cause = "zero-counted"
        case .threw: break
        case .returned(let value):
            let bytes = try [value].bytes(0)
            cause = bytes.dropFirst(2).starts(with: path.utf8) ? "no-room-for-the-zero" : "path-cut"
            if path.count < count { cause = "characters-not-bytes" }
        }
        throw Failure(expected: expected, got: outcome.text, cause: cause)
    }

    fileprivate func expectEndpoint(_ text: String, _ host: String, _ port: UInt16) throws {
        let expected = say(
            "parseEndpoint(\"\(text)\") is host \"\(host)\", port \(port)",
            "parseEndpoint(\"\(text)\") 得到主机 \"\(host)\"、端口 \(port)")
        let fields: [Value]
        do {
            fields = try [begin("parse-endpoint", [.string(text)]).value(expecting: expected)].list(0)
        } catch var failure as Failure {
            if host.contains(":") { failure.cause = "ipv6-endpoint-refused" }
            throw failure
        }
        let (gotHost, gotPort) = (try fields.string(0), try fields.int(1))
        guard gotHost != host || gotPort != Int(port) else { return }
        var cause: String?
        if gotHost == "[\(host)]" {
            cause = "brackets-kept"
        } else if gotHost != host, let bytes = addressBytes(host), addressBytes(gotHost) == bytes {
            cause = "host-rewritten"
        }
        if gotHost == host, gotPort == Int(port.byteSwapped) { cause = "port-in-host-order" }
        throw Failure(
            expected: expected, got: say("host \"\(gotHost)\", port \(gotPort)", "主机 \"\(gotHost)\"、端口 \(gotPort)"),
            cause: cause)
    }

    fileprivate func expectNoEndpoint(_ text: String) throws {
        try expectThrown(
            AddressError.notAnEndpoint(text), by: "parse-endpoint", "parseEndpoint", [.string(text)],
            of: text.debugDescription
        ) { value in
            guard let fields = try? [value].list(0), let host = try? fields.string(0), let port = try? fields.int(1)
            else { return nil }
            return endpointMistake(text, host: host, port: port)
        }
    }

    private var otherBytes: String { say("other bytes", "不同的字节") }
    private func byteCount(_ bytes: [UInt8]) -> String { say("\(bytes.count) bytes", "\(bytes.count) 个字节") }

    /// A path as a report can show it.
    private func shortened(_ path: String) -> String {
        path.count <= 30
            ? path.debugDescription
            : say("a path of \(path.utf8.count) bytes", "\(path.utf8.count) 个字节的路径")
    }
}
