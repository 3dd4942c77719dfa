// Lesson 15: the checks of echo-request and parse-echo-reply, from values to values.
import Course
import GraderKit
import Wire

let echoPacketChecks: [Check] = [
    Check("request-bytes") { trial in
        try trial.expectRequest(0x1234, 1, [])
        try trial.expectRequest(0xFF01, 0x00FE, Array("ping".utf8))
        for _ in 0..<30 {
            let payload = trial.random.bytes(Int.random(in: 0...64, using: &trial.random))
            try trial.expectRequest(
                .random(in: 0...(.max), using: &trial.random), .random(in: 0...(.max), using: &trial.random), payload)
        }
    },
    Check("request-checksum") { trial in
        // An odd length; a sum of exactly 0x10000, and one that is 0x10000 after its first folding; a sum that needs more
        // than 16 bits, more than once; the largest there is.
        try trial.expectRequest(1, 1, [0xAB])
        try trial.expectRequest(0x7000, 0x8000, [0x08, 0x00])
        try trial.expectRequest(0xFFFF, 0xF800, [])
        try trial.expectRequest(0xFFFF, 0xFFFF, Array(repeating: 0xFF, count: 1001))
        try trial.expectRequest(7, 8, Array(repeating: 0xFF, count: 65_000))
        try trial.expectRequest(9, 10, trial.random.bytes(1473))
    },

    Check("reply-bare") { trial in
        for size in [56, 0, 1, 1000] {
            let reply = trial.randomReply(size)
            try trial.expectReply(reply, in: message(reply).bytes, hasHeader: false)
        }
    },
    Check("reply-header", suspects: [.crash(meaning: "packet-not-measured")]) { trial in
        for options in [0, 4, 12, 40] {
            let reply = trial.randomReply(21)
            var packet = IPv4Datagram(message(reply).bytes)
            packet.options = options == 0 ? [] : ipOptions(options)
            try trial.expectReply(
                reply, in: packet.bytes, hasHeader: true,
                cause: options == 0 ? nil : options == 40 ? "longest-header-refused" : "header-of-20-bytes")
        }
    },
    Check("reply-lengths", suspects: [.crash(meaning: "packet-not-measured")]) { trial in
        let reply = trial.randomReply(10)
        var packet = IPv4Datagram(message(reply).bytes)
        packet.padding = [0, 0, 0, 0, 0, 0xEE]
        try trial.expectReply(reply, in: packet.bytes, hasHeader: true, cause: "padding-taken")

        packet = IPv4Datagram(message(reply).bytes)
        packet.total = 39
        // A header shorter than itself; one longer than the packet; a packet that ends in its header, or before its end.
        for (words, total) in [(4, nil), (0, nil), (15, nil), (5, 19), (5, 1_500)] as [(UInt8?, Int?)] {
            packet.headerWords = words
            packet.total = total
            try trial.expectError("truncated", in: packet.bytes, hasHeader: true, cause: "lengths-believed")
        }
        // All of a long header is here, and the packet says that it ends within it.
        packet = IPv4Datagram(message(reply).bytes)
        packet.options = ipOptions(40)
        packet.total = 40
        try trial.expectError("truncated", in: packet.bytes, hasHeader: true, cause: "lengths-believed")
    },
    Check("reply-damaged", suspects: [.crash(meaning: "packet-not-measured")]) { trial in
        let reply = trial.randomReply(9)
        let bare = message(reply).bytes
        var whole = IPv4Datagram(bare)
        whole.options = ipOptions(8)
        for count in 0..<8 { try trial.expectError("truncated", in: Array(bare.prefix(count)), hasHeader: false) }
        for count in 0..<whole.bytes.count {
            try trial.expectError("truncated", in: Array(whole.bytes.prefix(count)), hasHeader: true)
        }
        // The packet ends with fewer than 8 bytes of ICMP, and says so itself.
        for count in 0..<8 {
            try trial.expectError("truncated", in: IPv4Datagram(Array(bare.prefix(count))).bytes, hasHeader: true)
        }
        for offset in bare.indices {
            var damaged = bare
            damaged[offset] ^= 0x10
            try trial.expectError(
                "wrongChecksum", in: damaged, hasHeader: false, cause: "checksum-not-checked")
            try trial.expectError(
                "wrongChecksum", in: IPv4Datagram(damaged).bytes, hasHeader: true, cause: "checksum-not-checked")
        }
    },
    Check("reply-others", suspects: [.crash(meaning: "packet-not-measured")]) { trial in
        for (type, code) in [(8, 0), (3, 1), (11, 0), (0, 1)] as [(UInt8, UInt8)] {
            let other = ICMPMessage(type: type, code: code, rest: [1, 2, 3, 4], payload: trial.random.bytes(12)).bytes
            try trial.expectError("otherType", in: other, hasHeader: false, cause: "type-not-checked")
            try trial.expectError(
                "otherType", in: IPv4Datagram(other).bytes, hasHeader: true, cause: "type-not-checked")
        }
        let bytes = message(trial.randomReply(5)).bytes
        for number in [17, 6, 58] as [UInt8] {
            var packet = IPv4Datagram(bytes)
            packet.protocolNumber = number
            try trial.expectError("notICMP", in: packet.bytes, hasHeader: true, cause: "protocol-not-checked")
        }
        for version in [6, 0, 15] as [UInt8] {
            var packet = IPv4Datagram(bytes)
            packet.version = version
            try trial.expectError("notIPv4", in: packet.bytes, hasHeader: true, cause: "version-not-checked")
        }
    },
]

private func message(_ reply: EchoReply) -> ICMPMessage { .reply(reply.identifier, reply.sequence, reply.payload) }

extension Trial {
    fileprivate func randomReply(_ size: Int) -> EchoReply {
        EchoReply(
            identifier: .random(in: 0...(.max), using: &random), sequence: .random(in: 0...(.max), using: &random),
            payload: random.bytes(size))
    }

    fileprivate func expectRequest(_ identifier: UInt16, _ sequence: UInt16, _ payload: [UInt8]) throws {
        let right = ICMPMessage.echo(8, identifier, sequence, payload).bytes
        let what = say(
            "echoRequest(\(identifier), \(sequence), \(byteCount(payload.count)))",
            "echoRequest(\(identifier), \(sequence), \(byteCount(payload.count)))")
        let value = try begin(
            "echo-request", [.unsigned(UInt64(identifier)), .unsigned(UInt64(sequence)), .bytes(payload)]
        ).value(expecting: what)
        let got = try [value].bytes(0)
        guard got != right else { return }
        let shown = right.count > 64 ? say("\(right.count) bytes", "\(right.count) 字节") : hexText(right)
        throw Failure(
            expected: "\(what): \(shown)", got: got.count > 64 ? byteCount(got.count) : Value.bytes(got).text,
            difference: byteDifference(expected: right, got: got), cause: requestMistake(right, got))
    }

    fileprivate func expectReply(
        _ reply: EchoReply, in packet: [UInt8], hasHeader: Bool, cause: String? = nil
    ) throws {
        let expected = say(
            "of \(packetText(packet, hasHeader)): \(replyText(reply.value))",
            "从\(packetText(packet, hasHeader))得到：\(replyText(reply.value))")
        let outcome = try begin("parse-echo-reply", [.bytes(packet), .bool(hasHeader)]).outcome(expecting: expected)
        if case .returned(reply.value) = outcome { return }
        var found = cause
        if case .returned(let value) = outcome, let fields = try? [value].list(0),
            fields[0] == .unsigned(UInt64(reply.identifier.byteSwapped)),
            reply.identifier.byteSwapped != reply.identifier
        {
            found = "fields-in-host-order"
        }
        // It took the first byte of the message, 0, for the version of a header.
        if case .threw("PacketError", "notIPv4", _, _) = outcome, !hasHeader { found = "header-where-none-is" }
        var got = outcome.text
        if case .returned(let value) = outcome { got = replyText(value) }
        throw Failure(expected: expected, got: got, cause: found)
    }

    fileprivate func expectError(
        _ name: String, in packet: [UInt8], hasHeader: Bool, cause: String? = nil
    ) throws {
        try expectPacketError(
            name, "parse-echo-reply", [.bytes(packet), .bool(hasHeader)], packetText(packet, hasHeader), cause)
    }

    /// It throws this `PacketError`, and no other.
    func expectPacketError(
        _ name: String, _ entry: String, _ arguments: [Value], _ what: String, _ cause: String?
    ) throws {
        let expected = say("of \(what): PacketError.\(name)", "对\(what)：PacketError.\(name)")
        let outcome = try begin(entry, arguments).outcome(expecting: expected)
        switch outcome {
        case .threw("PacketError", name, _, _): return
        case .threw("PacketError", "notIPv4", _, _)
        where name == "truncated" && ["lengths-believed", "quote-not-checked"].contains(cause):
            throw Failure(expected: expected, got: outcome.text, cause: "length-taken-for-version")
        case .threw:
            // A damaged type was believed, and refused for what it says; so were options, for a type.
            let isBelieved =
                name == "wrongChecksum"
                || ["header-of-20-bytes", "longest-header-refused", "version-not-checked"].contains(cause)
            throw Failure(expected: expected, got: outcome.text, cause: isBelieved ? cause : nil)
        case .returned: throw Failure(expected: expected, got: outcome.text, cause: cause ?? "packet-not-measured")
        }
    }
}

/// `the packet 45 00 … (49 bytes)`
private func packetText(_ packet: [UInt8], _ hasHeader: Bool) -> String {
    let bytes = Value.bytes(packet).text
    return hasHeader ? say("the packet \(bytes)", "数据包 \(bytes)") : say("the message \(bytes)", "报文 \(bytes)")
}

private func replyText(_ value: Value) -> String {
    guard case .list(let fields) = value, fields.count == 3 else { return value.text }
    return say(
        "identifier \(fields[0].text), sequence \(fields[1].text), payload \(fields[2].text)",
        "标识符 \(fields[0].text)、序号 \(fields[1].text)、数据 \(fields[2].text)")
}

private func requestMistake(_ right: [UInt8], _ got: [UInt8]) -> String? {
    if got.count == right.count + 1, right.count % 2 == 1, got.last == 0 { return "padding-sent" }
    guard got.count == right.count, got.count >= 8 else { return nil }
    let fieldsAreRight = got[4...] == right[4...]
    // Both numbers, or one of them.
    let areNumbers = [4, 6].allSatisfy { (index: Int) -> Bool in
        let (wanted, found) = (Array(right[index...index + 1]), Array(got[index...index + 1]))
        return found == wanted || found == [wanted[1], wanted[0]]
    }
    if !fieldsAreRight, areNumbers {
        return "fields-in-host-order"
    }
    guard fieldsAreRight, got[0] == right[0], got[1] == right[1] else { return nil }
    if got[2] == 0, got[3] == 0 { return "checksum-missing" }
    if got[2] == right[3], got[3] == right[2] { return "checksum-in-host-order" }
    if got[2] == ~right[2], got[3] == ~right[3] { return "checksum-not-complemented" }
    return "checksum-wrong"
}
