// Grader of lesson 01: byte order. Functions from values to values: each check calls them and compares, bit for bit.
// What a wrong answer looks like, and which mistake makes it so, is in Lesson01Mistakes.swift.
import Course
import GraderKit
import Wire

let lesson01 = LessonGrader(
    slug: Lesson01.slug,
    checks: [
        Check("little-endian") { trial in
            let isLittle = 1.littleEndian == 1
            let bytes = hexText(memoryBytes(UInt16(0x0102)))
            let expected = say(
                "hostIsLittleEndian() is \(isLittle): 0x0102 lies in this machine's memory as \(bytes)",
                "hostIsLittleEndian() 为 \(isLittle)：0x0102 在本机内存里是 \(bytes)")
            let got = try trial.begin("host-is-little-endian", []).value(expecting: expected)
            guard got == .bool(isLittle) else {
                throw Failure(expected: expected, got: got.text, cause: "ends-confused")
            }
        },
        Check("to-network-16") { try $0.expectNetworkOrder(of: UInt16.self) },
        Check("to-network-32") { try $0.expectNetworkOrder(of: UInt32.self) },
        Check("to-network-64") { try $0.expectNetworkOrder(of: UInt64.self) },
        Check("to-host") { trial in
            try trial.expectHostOrder(of: UInt16.self)
            try trial.expectHostOrder(of: UInt32.self)
            try trial.expectHostOrder(of: UInt64.self)
        },

        Check("header-bytes") { try $0.expectEncoded(.example) },
        Check("header-fields") { try $0.expectDecoded(.example) },
        Check("header-extremes") { trial in
            for header in Header.extremes {
                try trial.expectEncoded(header)
                var decodable = header
                decodable.version = Header.currentVersion
                try trial.expectDecoded(decodable)
            }
        },
        Check("header-random") { trial in
            for _ in 0..<100 {
                let header = Header.random(using: &trial.random)
                try trial.expectEncoded(header)
                try trial.expectDecoded(header)
            }
        },
        Check("header-slice", suspects: [.crash(meaning: "slice-index", when: Cause.isOutOfRange)]) { trial in
            for start in 1...16 {
                try trial.expectDecoded(.random(using: &trial.random), after: trial.random.bytes(start))
            }
        },
        Check("header-truncated", suspects: [.crash(meaning: "read-before-checking")]) { trial in
            let whole = wireBytes(.example)
            for count in 0..<Header.size {
                try trial.expectRefused(Array(whole.prefix(count)), HeaderError.truncated(count: count))
            }
            try trial.expectRefused([7] + whole[1..<Header.size - 1], HeaderError.truncated(count: Header.size - 1))
            // In the middle of a longer array, the slice's own length counts.
            try trial.expectRefused(whole + whole, from: Header.size + 3, HeaderError.truncated(count: Header.size - 3))
        },
        Check("header-too-long") { trial in
            for more in [1, 8, Header.size, 1000] {
                let bytes = wireBytes(.example) + [UInt8](repeating: 0, count: more)
                try trial.expectRefused(bytes, HeaderError.tooLong(count: bytes.count))
            }
            try trial.expectRefused([7] + wireBytes(.example), HeaderError.tooLong(count: Header.size + 1))
        },
        Check("header-version") { trial in
            for version: UInt8 in [0, 2, 127, 128, 255] {
                var header = Header.example
                header.version = version
                try trial.expectRefused(wireBytes(header), HeaderError.unknownVersion(version))
            }
        },

        Check("checksum-example") { trial in
            // RFC 1071, section 3; then an IPv4 header whose checksum field is still zero.
            try trial.expectChecksum(0x220D, of: [0x00, 0x01, 0xF2, 0x03, 0xF4, 0xF5, 0xF6, 0xF7])
            try trial.expectChecksum(
                0xB861,
                of: [
                    0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11, 0x00, 0x00,
                    0xC0, 0xA8, 0x00, 0x01, 0xC0, 0xA8, 0x00, 0xC7,
                ])
        },
        Check("checksum-odd") { trial in
            try trial.expectChecksum(0xFBFD, of: [0x01, 0x02, 0x03])
            try trial.expectChecksum(0xFEFF, of: [0x01])
            for _ in 0..<20 {
                let bytes = trial.random.bytes(Int.random(in: 0..<50, using: &trial.random) * 2 + 1)
                try trial.expectChecksum(checksum(bytes), of: bytes)
            }
        },
        Check("checksum-empty") { try $0.expectChecksum(0xFFFF, of: []) },
        Check("checksum-carry") { trial in
            // FFFF + FFFF + 0001 is 1FFFF; adding its carry gives 10000, which has a carry again.
            try trial.expectChecksum(0xFFFE, of: [0xFF, 0xFF, 0xFF, 0xFF, 0x00, 0x01])
            try trial.expectChecksum(0x0000, of: [0xFF, 0xFF])
            try trial.expectChecksum(0x7FFE, of: [0x80, 0x00, 0x80, 0x00, 0x80, 0x00])
        },
        Check("checksum-long") { trial in
            // 131,072 words: more than a UInt32 can add up.
            try trial.expectChecksum(0xEDCB, of: [UInt8](repeating: 0xFF, count: (256 << 10) - 2) + [0x12, 0x34])
        },
        Check("checksum-verify") { trial in
            for count in [2, 20, 64, 500] {
                var bytes = trial.random.bytes(count) + [0, 0]
                let sum = checksum(bytes)
                bytes[count] = UInt8(sum >> 8)
                bytes[count + 1] = UInt8(sum & 0xFF)
                try trial.expectChecksum(0x0000, of: bytes)
            }
        },
    ])

// MARK: What is right

/// The header on the wire, "the most significant octet is transmitted first" (RFC 791, appendix B).
func wireBytes(_ header: Header) -> [UInt8] {
    [header.version, header.kind] + networkBytes(header.length) + networkBytes(header.sequence)
        + networkBytes(header.timestamp)
}

/// RFC 1071, section 4.1, on a pair of bytes at a time.
private func checksum(_ bytes: [UInt8]) -> UInt16 {
    let sum = words(bytes).reduce(UInt64(0)) { sum, word in
        let next = sum + UInt64(word)
        return next > 0xFFFF ? next - 0xFFFF : next
    }
    return ~UInt16(sum)
}

/// The most significant byte first.
func networkBytes(_ number: some FixedWidthInteger) -> [UInt8] { withUnsafeBytes(of: number.bigEndian) { Array($0) } }

/// Pairs of bytes as numbers; an odd last byte has a zero behind it.
func words(_ bytes: [UInt8]) -> [UInt16] {
    stride(from: 0, to: bytes.count, by: 2).map { index in
        UInt16(bytes[index]) << 8 | (index + 1 < bytes.count ? UInt16(bytes[index + 1]) : 0)
    }
}

extension Header {
    /// Every byte another one, so that each can be told by its value.
    fileprivate static let example = Header(
        version: currentVersion, kind: 2, length: 0x0304, sequence: 0x0506_0708, timestamp: 0x090A_0B0C_0D0E_0F10)

    fileprivate static let extremes = [
        Header(version: 0, kind: 0, length: 0, sequence: 0, timestamp: 0),
        Header(version: .max, kind: .max, length: .max, sequence: .max, timestamp: .max),
        Header(version: 0x80, kind: 0x80, length: 0x8080, sequence: 0x8080_8080, timestamp: 0x8080_8080_8080_8080),
        Header(version: 1, kind: 0x7F, length: 0x00FF, sequence: 0x0000_00FF, timestamp: 0x0000_0000_0000_00FF),
        Header(version: 1, kind: 0, length: 0x8000, sequence: 0x8000_0000, timestamp: 0x8000_0000_0000_0000),
    ]

    fileprivate static func random(using generator: inout SeededGenerator) -> Header {
        Header(
            version: currentVersion, kind: .random(in: 0 ... .max, using: &generator),
            length: .random(in: 0 ... .max, using: &generator), sequence: .random(in: 0 ... .max, using: &generator),
            timestamp: .random(in: 0 ... .max, using: &generator))
    }
}

// MARK: What is asked

extension Trial {
    fileprivate func expectNetworkOrder<Number: FixedWidthInteger & UnsignedInteger>(of type: Number.Type) throws {
        for (index, value) in samples(of: type).enumerated() {
            let wanted = networkBytes(value)
            let expected = say(
                "hostToNetwork\(Number.bitWidth)(\(hexNumber(value))) lies in memory as \(hexText(wanted))",
                "hostToNetwork\(Number.bitWidth)(\(hexNumber(value))) 在内存里是 \(hexText(wanted))")
            let got: Number = try number(
                "host-to-network-\(Number.bitWidth)", .unsigned(UInt64(value)), expecting: expected)
            guard got != value.bigEndian else { continue }
            throw Failure(
                expected: expected, got: hexText(memoryBytes(got)),
                cause: orderMistake(value.bigEndian, got, isFirst: index == 0))
        }
    }

    fileprivate func expectHostOrder<Number: FixedWidthInteger & UnsignedInteger>(of type: Number.Type) throws {
        for (index, value) in samples(of: type).enumerated() {
            let bytes = hexText(networkBytes(value))
            let expected = say(
                "networkToHost\(Number.bitWidth) of a number that lies in memory as \(bytes) is \(hexNumber(value))",
                "对内存里是 \(bytes) 的数，networkToHost\(Number.bitWidth) 得到 \(hexNumber(value))")
            let got: Number = try number(
                "network-to-host-\(Number.bitWidth)", .unsigned(UInt64(value.bigEndian)), expecting: expected)
            guard got != value else { continue }
            throw Failure(expected: expected, got: hexNumber(got), cause: orderMistake(value, got, isFirst: index == 0))
        }
    }

    /// Who turns the first number rightly does not leave all of them as they are: bytes that are zero went missing.
    private func orderMistake<Number: FixedWidthInteger & UnsignedInteger>(
        _ expected: Number, _ got: Number, isFirst: Bool
    ) -> String? {
        let mistake = OrderMistake(expected, got)
        return mistake == .nativeOrder && !isFirst ? "zero-bytes-dropped" : mistake?.rawValue
    }

    /// Bytes that differ, sign bits, the smallest and largest, then random ones.
    private func samples<Number: FixedWidthInteger & UnsignedInteger>(of type: Number.Type) -> [Number] {
        let counted = (1...Number.bitWidth / 8).reduce(Number(0)) { $0 << 8 | Number($1) }
        let high = Number(1) << (Number.bitWidth - 1)
        let bytes = (1...Number.bitWidth / 8).reduce(Number(0)) { $0 << 8 | Number(0x80 + $1) }
        return [counted, bytes, 1, 0x80, 0xFF, high, high | 0xFF, 0, .max]
            + (0..<20).map { _ in .random(in: 0 ... .max, using: &random) }
    }

    private func number<Number: FixedWidthInteger & UnsignedInteger>(
        _ entry: String, _ argument: Value, expecting expected: String
    ) throws -> Number {
        try [begin(entry, [argument]).value(expecting: expected)].unsigned(0)
    }

    fileprivate func expectEncoded(_ header: Header) throws {
        let bytes = wireBytes(header)
        let expected = say(
            "encodeHeader writes \(header.text) as these 16 bytes", "encodeHeader 把 \(header.text) 写成这 16 个字节")
        let got = try [begin("encode-header", header.fields).value(expecting: expected)].bytes(0)
        guard got != bytes else { return }
        throw Failure(
            expected: expected,
            got: got.count == bytes.count
                ? say("other bytes", "不同的字节") : say("\(got.count) bytes", "\(got.count) 个字节"),
            difference: byteDifference(expected: bytes, got: got), cause: encodingMistake(header, got))
    }

    /// - Parameter before: what stands before the header in the array that the slice is cut from.
    fileprivate func expectDecoded(_ header: Header, after before: [UInt8] = []) throws {
        let bytes = wireBytes(header)
        let place =
            before.isEmpty ? "" : say(" from index \(before.count) of an array", "（从数组下标 \(before.count) 开始）")
        let expected = say(
            "decodeHeader reads \(hexText(bytes))\(place) as \(header.text)",
            "decodeHeader 把 \(hexText(bytes))\(place)读成 \(header.text)")
        let call = try begin("decode-header", [.bytes(before + bytes), .int(before.count)])
        let outcome = try call.outcome(expecting: expected)
        guard case .returned(let value) = outcome else {
            // The same header from index 0 was read before.
            throw Failure(expected: expected, got: outcome.text, cause: before.isEmpty ? nil : "slice-index")
        }
        let fields = try [value].list(0)
        let got = try Header(fields: fields)
        guard got != header else { return }
        throw Failure(expected: expected, got: got.text, cause: decodingMistake(header, got, after: before))
    }

    /// - Parameter start: where the slice begins in the array.
    fileprivate func expectRefused(_ array: [UInt8], from start: Int = 0, _ error: HeaderError) throws {
        let bytes = Array(array[start...])
        let place = start == 0 ? "" : say(" from index \(start) of an array", "（从数组下标 \(start) 开始）")
        let expected = say(
            "decodeHeader throws HeaderError.\(error) for \(Value.bytes(bytes).text)\(place)",
            "对 \(Value.bytes(bytes).text)\(place)，decodeHeader 抛出 HeaderError.\(error)")
        let outcome = try begin("decode-header", [.bytes(array), .int(start)]).outcome(expecting: expected)
        if case .threw("HeaderError", _, _, "\(error)") = outcome { return }
        if case .returned(let value) = outcome {
            let header = try Header(fields: [value].list(0))
            throw Failure(
                expected: expected, got: say("a header: \(header.text)", "一个首部：\(header.text)"),
                cause: "bad-header-accepted")
        }
        if case .threw("HeaderError", _, _, let text) = outcome, text.hasPrefix("unknownVersion") {
            throw Failure(expected: expected, got: outcome.text, cause: "version-before-length")
        }
        if case .threw("HeaderError", let name, _, _) = outcome, "\(error)".hasPrefix(name), start == 0 {
            throw Failure(expected: expected, got: outcome.text, cause: "error-of-another-count")
        }
        // The same length from index 0 was refused before.
        throw Failure(expected: expected, got: outcome.text, cause: start > 0 ? "slice-index" : nil)
    }

    fileprivate func expectChecksum(_ sum: UInt16, of bytes: [UInt8]) throws {
        let expected = say(
            "internetChecksum of \(Value.bytes(bytes).text) is \(hexNumber(sum))",
            "\(Value.bytes(bytes).text) 的 internetChecksum 是 \(hexNumber(sum))")
        let got: UInt16 = try number("internet-checksum", .bytes(bytes), expecting: expected)
        guard got != sum else { return }
        var cause = checksumMistake(bytes, expected: sum, got: got)
        if sum == 0, got == 0xFFFF {
            // Not complemented, or "never 0", as UDP has it: what is neither tells.
            let other: UInt16 = try number("internet-checksum", .bytes([0, 1]), expecting: expected)
            cause = other == 0xFFFE ? "zero-replaced" : other == 0x0001 ? "not-complemented" : nil
        }
        throw Failure(expected: expected, got: hexNumber(got), cause: cause)
    }
}
