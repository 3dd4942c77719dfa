// Which mistake makes this wrong answer: each is computed here as a student would make it, and compared. Only where an
// answer can have no other reason among those known is it named.
import Course

/// A number that came out in a wrong order, or lost bytes on its way. The raw value is the cause's id.
enum OrderMistake: String {
    case nativeOrder = "native-order"
    case halfTurned = "half-turned"
    case bitsReversed = "bits-reversed"
    case signExtension = "sign-extension"
    case shiftedBeforeWidening = "shifted-before-widening"
    case upperHalfLost = "upper-half-lost"
    case throughDouble = "through-double"
    case byteMisplaced = "byte-misplaced"

    init?<Number: FixedWidthInteger & UnsignedInteger>(_ expected: Number, _ got: Number) {
        guard got != expected else { return nil }
        if got == expected.byteSwapped {
            self = .nativeOrder
        } else if OrderMistake.halfTurns(expected).contains(got) {
            self = .halfTurned
        } else if got == OrderMistake.reversedBits(expected.byteSwapped) || got == OrderMistake.reversedBits(expected) {
            self = .bitsReversed
        } else if got == OrderMistake.signExtended(expected) || got == OrderMistake.signExtended(expected, adding: true)
        {
            self = .signExtension
        } else if Number.bitWidth > 8, expected > 0xFF, got == expected & 0xFF {
            self = .shiftedBeforeWidening
        } else if Number.bitWidth == 64, [expected & 0xFFFF_FFFF, expected << 32].contains(got) {
            // In the order of the bytes in memory it is the other half.
            self = .upperHalfLost
        } else if Number.bitWidth == 64, Double(got) == Double(expected) {
            self = .throughDouble
        } else if Number.bitWidth > 16, (1...2).contains(OrderMistake.differing(expected, got)) {
            self = .byteMisplaced
        } else {
            return nil
        }
    }

    /// To turn a number is to exchange neighbours, then pairs, then halves: byte 0 goes to 7, 1 to 6, which is their number
    /// with all its bits turned. Here some of these steps were left out.
    private static func halfTurns<Number: FixedWidthInteger & UnsignedInteger>(_ number: Number) -> [Number] {
        let bytes = networkBytes(number)
        return (1..<max(1, bytes.count - 1)).map { steps in
            bytes.indices.reduce(Number(0)) { $0 << 8 | Number(bytes[$1 ^ steps]) }
        }
    }

    /// How many bytes are others.
    private static func differing<Number: FixedWidthInteger>(_ one: Number, _ other: Number) -> Int {
        zip(networkBytes(one), networkBytes(other)).filter { $0 != $1 }.count
    }

    private static func reversedBits<Number: FixedWidthInteger>(_ number: Number) -> Number {
        (0..<Number.bitWidth).reduce(0) { $0 << 1 | (number >> $1 & 1) }
    }

    /// What comes out if each byte is an Int8 before it is made wider, and the parts are joined with | or with +.
    private static func signExtended<Number: FixedWidthInteger & UnsignedInteger>(
        _ number: Number, adding: Bool = false
    ) -> Number {
        networkBytes(number).reduce(0) { sum, byte in
            let wide = Number(truncatingIfNeeded: Int8(bitPattern: byte))
            return adding ? sum << 8 &+ wide : sum << 8 | wide
        }
    }
}

func encodingMistake(_ header: Header, _ got: [UInt8]) -> String? {
    guard got.count == Header.size else { return "header-wrong-size" }
    if got[0] == Header.currentVersion, got[0] != header.version, got[1...] == wireBytes(header)[1...] {
        return "own-version-written"
    }
    let right = wireBytes(header)
    if got != right, zip(got, right).allSatisfy({ $0 == $1 || $0 == 255 }) { return "clamped" }
    guard got[0] == header.version, got[1] == header.kind else { return nil }
    return decodingMistake(header, Header(wire: got))
}

/// The mistake of the first field that is wrong.
///
/// - Parameter before: what stood before the header in the array.
func decodingMistake(_ expected: Header, _ got: Header, after before: [UInt8] = []) -> String? {
    let array = before + wireBytes(expected)
    if !before.isEmpty, got.fromStart(of: array, whereNot: expected) { return "slice-index" }
    let mistake =
        OrderMistake(expected.length, got.length) ?? OrderMistake(expected.sequence, got.sequence)
        ?? OrderMistake(expected.timestamp, got.timestamp)
    return mistake?.rawValue
}

/// The checksum as it comes out with each of the known mistakes.
func checksumMistake(_ bytes: [UInt8], expected: UInt16, got: UInt16) -> String? {
    let sum = words(bytes).reduce(UInt64(0)) { $0 + UInt64($1) }
    let even = bytes.count - bytes.count % 2
    let folded = { (sum: UInt64) -> UInt64 in (sum & 0xFFFF) + (sum >> 16) }
    let complete = { (sum: UInt64) -> UInt16 in
        var sum = sum
        while sum > 0xFFFF { sum = folded(sum) }
        return ~UInt16(sum)
    }
    let last = UInt64(bytes.last ?? 0)
    var mistakes: [(id: String, answer: UInt16)] = [
        // FFFF in place of 0 has another reason too: both are zero in this arithmetic, and UDP sends FFFF.
        ("not-complemented", expected == 0 ? 0 : ~expected),
        ("carry-dropped", ~UInt16(truncatingIfNeeded: sum)),
        ("carry-dropped", complete(UInt64(UInt32(truncatingIfNeeded: sum)))),
        ("folded-once", ~UInt16(truncatingIfNeeded: folded(sum))),
    ]
    if even != bytes.count {
        mistakes += [
            // Of the last byte alone, which was added behind the fold.
            ("carry-dropped", ~UInt16(truncatingIfNeeded: UInt64(~complete(sum - (last << 8))) + (last << 8))),
            ("odd-byte-low", complete(sum - (last << 8) + last)),
            ("odd-byte-first", complete(words([0] + bytes).reduce(0) { $0 + UInt64($1) })),
            ("odd-byte-dropped", complete(words(Array(bytes[..<even])).reduce(0) { $0 + UInt64($1) })),
        ]
    }
    // Summed in pieces of so many bytes, the odd one at the end of each with a zero behind it.
    for size in [65_535, 32_767, 16_383, 8191, 4095, 2047, 1023, 511, 255] where size < bytes.count {
        let pieces = stride(from: 0, to: bytes.count, by: size).map { Array(bytes[$0...].prefix(size)) }
        mistakes.append(("padding-in-the-middle", complete(pieces.flatMap(words).reduce(0) { $0 + UInt64($1) })))
    }
    mistakes += [
        (
            "length-in-16-bits",
            complete(words(Array(bytes.prefix(bytes.count & 0xFFFF))).reduce(0) { $0 + UInt64($1) })
        ),
        // Behind the others: of one or three bytes, the zero in the wrong place looks the same.
        ("native-words", expected.byteSwapped),
    ]
    return mistakes.first { $0.answer == got && got != expected }?.id
}

// MARK: Numbers as text

/// `0x0A0B`, as many digits as the number has.
func hexNumber(_ number: some FixedWidthInteger) -> String {
    let digits = String(number, radix: 16, uppercase: true)
    return "0x" + String(repeating: "0", count: number.bitWidth / 4 - digits.count) + digits
}

/// The bytes of a number in this machine's memory.
func memoryBytes(_ number: some FixedWidthInteger) -> [UInt8] { withUnsafeBytes(of: number) { Array($0) } }

private func number<Number: FixedWidthInteger>(_ bytes: ArraySlice<UInt8>) -> Number {
    bytes.reduce(0) { $0 << 8 | Number($1) }
}

extension Header {
    /// - Parameter bytes: at least 16; those after them do not count.
    init(wire bytes: [UInt8]) {
        self.init(
            version: bytes[0], kind: bytes[1], length: number(bytes[2..<4]), sequence: number(bytes[4..<8]),
            timestamp: number(bytes[8..<16]))
    }

    /// Is every field that is wrong what stands at the start of the array, where the slice does not begin?
    fileprivate func fromStart(of array: [UInt8], whereNot expected: Header) -> Bool {
        let start = Header(wire: array)
        return self != expected && (kind == expected.kind || kind == start.kind)
            && (length == expected.length || length == start.length)
            && (sequence == expected.sequence || sequence == start.sequence)
            && (timestamp == expected.timestamp || timestamp == start.timestamp)
    }

    var text: String {
        say(
            "version \(version), kind \(kind), length \(hexNumber(length)), sequence \(hexNumber(sequence)), timestamp \(hexNumber(timestamp))",
            "version \(version)、kind \(kind)、length \(hexNumber(length))、sequence \(hexNumber(sequence))、timestamp \(hexNumber(timestamp))"
        )
    }
}
