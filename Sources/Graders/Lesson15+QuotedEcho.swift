// Lesson 15: the checks of the error message and its quote.
import Course
import GraderKit
import Wire

let quotedEchoChecks: [Check] = [
    Check("quote-read", suspects: [.crash(meaning: "packet-not-measured")]) { trial in
        for (type, code) in [(11, 0), (3, 1), (3, 13)] as [(UInt8, UInt8)] {
            for (outer, inner) in [(0, 0), (8, 0), (0, 12), (40, 40)] {
                // Eight bytes of our message, as RFC 792 asks for; all of it, as most send today.
                for most in [8, 12, 60] {
                    try trial.expectQuote(type, code, outerOptions: outer, innerOptions: inner, quoted: most)
                }
            }
        }
    },
    Check("quote-short", suspects: [.crash(meaning: "packet-not-measured")]) { trial in
        let request = ICMPMessage.echo(8, 0x4321, 3, trial.random.bytes(30)).bytes
        for options in [0, 12] {
            var inner = IPv4Datagram(request)
            inner.options = options == 0 ? [] : ipOptions(options)
            for count in 0..<(20 + options + 8) {
                let packet = IPv4Datagram(ICMPMessage.error(11, quoting: Array(inner.bytes.prefix(count))).bytes).bytes
                // Without options it was right.
                try trial.expectQuoteError("truncated", packet, options == 0 ? nil : "header-of-20-bytes")
            }
        }
        let whole = IPv4Datagram(ICMPMessage.error(11, quoting: IPv4Datagram(request).bytes).bytes).bytes
        for count in 0..<whole.count { try trial.expectQuoteError("truncated", Array(whole.prefix(count))) }
    },
    Check("quote-others", suspects: [.crash(meaning: "packet-not-measured")]) { trial in
        let request = ICMPMessage.echo(8, 0x4321, 3, trial.random.bytes(30)).bytes
        func quoting(_ content: [UInt8], change: (inout IPv4Datagram) -> Void = { _ in }) -> [UInt8] {
            var inner = IPv4Datagram(content)
            change(&inner)
            return IPv4Datagram(ICMPMessage.error(11, quoting: inner.bytes).bytes).bytes
        }
        try trial.expectQuoteError("notICMP", quoting(request) { $0.protocolNumber = 17 }, "quote-not-checked")
        try trial.expectQuoteError("notIPv4", quoting(request) { $0.version = 6 }, "quote-not-checked")
        try trial.expectQuoteError("truncated", quoting(request) { $0.headerWords = 4 }, "quote-not-checked")
        try trial.expectQuoteError("otherType", quoting(ICMPMessage.reply(0x4321, 3).bytes), "quote-not-checked")

        let quote = IPv4Datagram(request).bytes
        for type in [0, 8, 5, 12] as [UInt8] {
            let other = IPv4Datagram(ICMPMessage.error(type, quoting: quote).bytes).bytes
            try trial.expectQuoteError("otherType", other, "type-not-checked")
        }
        var damaged = ICMPMessage.error(11, quoting: quote)
        damaged.checksumIsWrong = true
        try trial.expectQuoteError("wrongChecksum", IPv4Datagram(damaged.bytes).bytes, "checksum-not-checked")
        var udp = IPv4Datagram(ICMPMessage.error(11, quoting: quote).bytes)
        udp.protocolNumber = 17
        try trial.expectQuoteError("notICMP", udp.bytes, "protocol-not-checked")
    },
]

extension Trial {
    fileprivate func expectQuote(
        _ type: UInt8, _ code: UInt8, outerOptions: Int, innerOptions: Int, quoted: Int
    ) throws {
        let identifier = UInt16.random(in: 0...(.max), using: &random)
        let sequence = UInt16.random(in: 0...(.max), using: &random)
        var inner = IPv4Datagram(ICMPMessage.echo(8, identifier, sequence, random.bytes(30)).bytes)
        inner.options = innerOptions == 0 ? [] : ipOptions(innerOptions)
        inner.source = "198.51.100.7"
        let quote = Array(inner.bytes.prefix(20 + innerOptions + quoted))
        var outer = IPv4Datagram(ICMPMessage.error(type, code: code, quoting: quote).bytes)
        outer.options = outerOptions == 0 ? [] : ipOptions(outerOptions)
        outer.source = "203.0.113.\(UInt8.random(in: 1...254, using: &random))"
        let right = QuotedEcho(
            source: outer.source, type: type, code: code, identifier: identifier, sequence: sequence)
        let expected = say(
            "of \(packetText(outer.bytes)): \(quoteText(right.value))",
            "从\(packetText(outer.bytes))得到：\(quoteText(right.value))")
        let outcome = try begin("quoted-echo", [.bytes(outer.bytes)]).outcome(expecting: expected)
        if case .returned(right.value) = outcome { return }
        var cause: String?
        switch outcome {
        // With the code 0 it was right.
        case .threw("PacketError", "otherType", _, _) where code != 0: cause = "code-taken-for-type"
        // Without options it was right.
        case _ where outerOptions + innerOptions > 0: cause = "header-of-20-bytes"
        case .threw("PacketError", "truncated", _, _): cause = "quote-should-be-whole"
        case .threw("PacketError", "wrongChecksum", _, _): cause = "quote-checksum-checked"
        case .returned(let value):
            let fields = try [value].list(0)
            if fields[0] == .string(inner.source) || fields[0] == .string(inner.destination) {
                cause = "source-of-quote"
            }
        case .threw: break
        }
        var got = outcome.text
        if case .returned(let value) = outcome { got = quoteText(value) }
        throw Failure(expected: expected, got: got, cause: cause)
    }

    fileprivate func expectQuoteError(_ name: String, _ packet: [UInt8], _ cause: String? = nil) throws {
        try expectPacketError(name, "quoted-echo", [.bytes(packet)], packetText(packet), cause)
    }
}

private func packetText(_ packet: [UInt8]) -> String {
    say("the packet \(Value.bytes(packet).text)", "数据包 \(Value.bytes(packet).text)")
}

private func quoteText(_ value: Value) -> String {
    guard case .list(let fields) = value, fields.count == 5, case .string(let source) = fields[0] else {
        return value.text
    }
    return say(
        "from \(source), type \(fields[1].text), code \(fields[2].text), about identifier \(fields[3].text), "
            + "sequence \(fields[4].text)",
        "来自 \(source)，类型 \(fields[1].text)，代码 \(fields[2].text)，对应标识符 \(fields[3].text)、序号 \(fields[4].text)")
}
