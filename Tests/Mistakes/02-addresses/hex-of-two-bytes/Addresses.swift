import Course
import Sockets

func parseAddress(_ text: String) throws(AddressError) -> [UInt8] {
    guard !text.utf8.contains(0) else { throw .notAnAddress(text) }
    for (family, size) in [(AF_INET, 4), (AF_INET6, 16)] {
        var bytes = [UInt8](repeating: 0, count: size)
        if inet_pton(family, text, &bytes) == 1 { return bytes }
    }
    throw .notAnAddress(text)
}

func formatAddress(_ bytes: [UInt8]) throws(AddressError) -> String {
    switch bytes.count {
    case 4: return dotted(bytes[...])
    case 16: return IPv6Text(bytes).shortest
    default: throw .wrongLength(bytes.count)
    }
}

private func dotted(_ bytes: ArraySlice<UInt8>) -> String {
    bytes.map { String($0) }.joined(separator: ".")
}

/// The shortest spelling of sixteen bytes (RFC 5952), as inet_ntop writes it.
private struct IPv6Text {
    let bytes: [UInt8]

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    private func isZero(_ group: Int) -> Bool { bytes[2 * group] == 0 && bytes[2 * group + 1] == 0 }

    /// In hex, without zeros in front.
    private func text(of group: Int) -> String {
        let high = bytes[2 * group]
        let low = bytes[2 * group + 1]
        if high == 0 { return String(low, radix: 16) }
        return String(high, radix: 16) + String(low, radix: 16)
    }

    /// The first of the longest rows of two or more zero groups: `::` stands for it.
    private var longestRow: Range<Int>? {
        var best = 0..<0
        var group = 0
        while group < 8 {
            let begin = group
            while group < 8 && isZero(group) { group += 1 }
            if group - begin > best.count { best = begin..<group }
            group += 1
        }
        return best.count >= 2 ? best : nil
    }

    private func groups(_ range: Range<Int>) -> String { range.map(text(of:)).joined(separator: ":") }

    var shortest: String {
        guard let row = longestRow else { return groups(0..<8) }
        // An IPv4 address at the end is written as one.
        if row == 0..<6 { return "::" + dotted(bytes[12...]) }
        if row == 0..<5 && bytes[10] == 0xff && bytes[11] == 0xff { return "::ffff:" + dotted(bytes[12...]) }
        return groups(0..<row.lowerBound) + "::" + groups(row.upperBound..<8)
    }
}
