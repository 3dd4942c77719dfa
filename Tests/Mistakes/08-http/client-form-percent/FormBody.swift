import Course

func formBody(_ entries: [HTTPField]) -> [UInt8] {
    let pairs = entries.map { formEncoded($0.name) + "=" + formEncoded($0.value) }
    return Array(pairs.joined(separator: "&").utf8)
}

private func formEncoded(_ text: String) -> String {
    text.utf8.reduce(into: "") { result, byte in
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "*"), UInt8(ascii: "-"), UInt8(ascii: "."),
            UInt8(ascii: "_"):
            result.unicodeScalars.append(Unicode.Scalar(byte))
        case UInt8(ascii: " "): result += "%20"
        default: result += percentEncoded(byte)
        }
    }
}

func percentEncoded(_ byte: UInt8) -> String {
    let digits = Array("0123456789ABCDEF")
    return "%" + String([digits[Int(byte >> 4)], digits[Int(byte & 15)]])
}
