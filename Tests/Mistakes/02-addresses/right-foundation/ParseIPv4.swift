import Course
import Foundation
func parseIPv4(_ text: String) -> [UInt8]? {
    var out: [UInt8] = [], value = -1, zero = false
    for u in text.unicodeScalars {
        if u == "." {
            if value < 0 || out.count == 3 { return nil }; out.append(UInt8(value)); value = -1; zero = false; continue
        }
        guard u.value >= 48, u.value <= 57 else { return nil }
        if zero { return nil }
        let d = Int(u.value - 48)
        if value < 0 { value = d; zero = d == 0 } else { value = value * 10 + d }
        if value > 255 { return nil }
    }
    guard value >= 0, out.count == 3 else { return nil }
    return out + [UInt8(value)]
}
