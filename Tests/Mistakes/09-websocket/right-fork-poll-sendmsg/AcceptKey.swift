// base64 by hand: 3 bytes are 4 digits.
import Course

func acceptKey(_ key: String) -> String {
    base64(sha1(Array(key.utf8) + Array("258EAFA5-E914-47DA-95CA-C5AB0DC85B11".utf8)))
}

func base64(_ bytes: [UInt8]) -> String {
    let digits = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
    var text = ""
    var i = 0
    while i < bytes.count {
        let have = min(3, bytes.count - i)
        var group = 0
        for k in 0..<3 { group = group << 8 | (k < have ? Int(bytes[i + k]) : 0) }
        for k in 0..<4 { text.append(k <= have ? digits[group >> (18 - 6 * k) & 63] : "=") }
        i += 3
    }
    return text
}
