import Course
import Foundation

private let globallyUnique = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

/// The characters that mean something in neither an address nor a header (RFC 4648, section 5).
private let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)

func acceptKey(_ key: String) -> String {
    var input = [UInt8](key.utf8)
    input.append(contentsOf: globallyUnique.utf8)
    return base64(sha1(input))
}

/// Three bytes become four characters; what is missing at the end becomes "=".
private func base64(_ bytes: [UInt8]) -> String {
    var text: [UInt8] = []
    for start in stride(from: 0, to: bytes.count, by: 3) {
        let group = bytes[start..<min(start + 3, bytes.count)]
        var bits: UInt32 = 0
        for offset in 0..<3 { bits = bits << 8 | (offset < group.count ? UInt32(group[start + offset]) : 0) }
        for position in 0..<4 {
            if position <= group.count {
                text.append(alphabet[Int(bits >> UInt32(18 - 6 * position) & 0x3F)])
            } else {
                text.append(UInt8(ascii: "="))
            }
        }
    }
    return String(decoding: text, as: UTF8.self)
}
