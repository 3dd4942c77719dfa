// Which mistake makes this wrong answer, for lesson 02. A mistake is named only where the answer shows it.
import Course
import Sockets

/// How a text that is not an address came to be taken for one.
func looseness(_ text: String, _ got: [UInt8]) -> String? {
    if text.utf8.contains(0) { return "cut-at-zero-byte" }
    let parts = text.split(separator: ".", omittingEmptySubsequences: false)
    if parts.contains("") && !text.contains(":") && !text.isEmpty { return "empty-parts-lost" }
    let digitsOnly = parts.allSatisfy { $0.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) } }
    // inet_aton also stops at a space, but so does everything that trims: that is told apart below.
    if !text.contains(where: \.isWhitespace), got == legacyBytes(text) {
        return digitsOnly && got == parts.map({ UInt8($0) ?? 0 }) ? "leading-zero-accepted" : "inet-addr-semantics"
    }
    if text.contains("%") { return "scope-accepted" }
    if !digitsOnly { return "lax-number" }
    if parts.contains(where: { $0.count > 1 && $0.hasPrefix("0") }) { return "leading-zero-accepted" }
    if !text.isEmpty, parts.contains(where: { UInt8($0) == nil }) { return "number-wrapped" }
    return nil
}

/// What inet_aton makes of the text; nil if it refuses it, too.
private func legacyBytes(_ text: String) -> [UInt8]? {
    var address = in_addr()
    guard inet_aton(text, &address) != 0 else { return nil }
    return withUnsafeBytes(of: address) { Array($0) }
}

func formattingMistake(_ bytes: [UInt8], _ text: String, _ got: String) -> String? {
    if got.utf8.contains(0) { return "trailing-zeros-kept" }
    if got == addressText(bytes.reversed()) { return "address-turned" }
    if got.isEmpty && isLongest(text) { return "no-room-for-zero" }
    if got.isEmpty && text.utf8.count >= Int(INET_ADDRSTRLEN) { return "text-room-too-small" }
    return nil
}

/// As long as an address of its family can be: the constants have room for a zero byte behind it.
func isLongest(_ text: String) -> Bool {
    text.utf8.count == (text.contains(":") ? 39 : Int(INET_ADDRSTRLEN) - 1)
}

/// Both are a sockaddr_in or a sockaddr_in6.
func structureMistake(_ expected: [UInt8], _ got: [UInt8], port: UInt16) -> (cause: String, detail: String?)? {
    guard got.count == expected.count else { return ("wrong-address-length", nil) }
    func differs(_ range: Range<Int>) -> Bool { got[range] != expected[range] }
    func isTurned(_ range: Range<Int>) -> Bool { Array(got[range]) == expected[range].reversed() }
    let address = expected.count == MemoryLayout<sockaddr_in>.size ? 4..<8 : 8..<24
    if differs(0..<2) {
        if got[0] == 0 && got[1] == 0 { return ("family-forgotten", nil) }
        return (isTurned(0..<2) ? "family-turned" : "wrong-family", nil)
    }
    if differs(2..<4), isTurned(2..<4) {
        return (
            "port-in-host-order",
            say(
                "asked for port \(port), the bytes say \(port.byteSwapped)",
                "要求端口 \(port)，字节表示的是 \(port.byteSwapped)")
        )
    }
    if differs(address) {
        // Right behind the port it stands in a sockaddr_in; a sockaddr_in6 has the flow information there.
        if address.count == 16, got[4..<20] == expected[address] { return ("flow-info-left-out", nil) }
        return isTurned(address) ? ("address-turned", nil) : nil
    }
    return differs(2..<4) ? nil : ("padding-not-zero", nil)
}

func unixStructureMistake(_ expected: [UInt8], _ got: [UInt8]) -> String? {
    guard got.count == expected.count else { return "wrong-address-length" }
    if got[0..<2] == [0, 0] { return "family-forgotten" }
    if got[0..<2] != expected[0..<2] { return "wrong-family" }
    return nil
}

/// How a text that is no endpoint came to be taken for one.
func endpointMistake(_ text: String, host: String, port: Int) -> String? {
    if text.utf8.contains(0) { return "cut-at-zero-byte" }
    let digits = text.split(separator: ":", omittingEmptySubsequences: false).last ?? ""
    if let number = Double(digits), number > 65535, digits.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }) {
        return "number-wrapped"
    }
    if digits != "\(port)" { return "lax-number" }
    guard let bytes = addressBytes(host) else {
        if host.contains(where: \.isLetter) && !host.contains(":") { return "name-accepted" }
        return looseness(host, legacyBytes(host) ?? [])
    }
    guard (bytes.count == 16) == text.hasPrefix("[") else { return "brackets-ignored" }
    return [text, text.replacing("[", with: "")].contains { $0 == "\(host):\(port)" } ? nil : "part-passed-over"
}
