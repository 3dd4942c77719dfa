import Course
import Sockets

func parseIPv4(_ text: String) -> [UInt8]? {
    guard !text.utf8.contains(0) else { return nil }
    var address = in_addr()
    guard inet_pton(AF_INET, text, &address) == 1 else { return nil }
    return withUnsafeBytes(of: address) { Array($0) }
}

func decimal(_ digits: Substring.UTF8View) -> Int? {
    guard !digits.isEmpty, digits.allSatisfy({ $0 >= 48 && $0 <= 57 }) else { return nil }
    return Int(String(Substring(digits)))
}
