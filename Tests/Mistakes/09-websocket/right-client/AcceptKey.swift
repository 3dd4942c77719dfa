import Course

/// base64 by hand: three bytes are four letters.
func acceptKey(_ key: String) -> String {
    let digest = sha1(Array(key.utf8) + Array("258EAFA5-E914-47DA-95CA-C5AB0DC85B11".utf8))
    let letters = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
    var text = ""
    for start in stride(from: 0, to: digest.count, by: 3) {
        let group = digest[start..<min(start + 3, digest.count)]
        let bits = (Array(group) + [0, 0]).prefix(3).reduce(0) { $0 << 8 | Int($1) }
        for place in 0..<4 {
            text.append(place <= group.count ? letters[bits >> (18 - 6 * place) & 63] : "=")
        }
    }
    return text
}
