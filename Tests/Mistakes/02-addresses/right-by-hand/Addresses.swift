import Course
import Sockets

/// IPv6 by hand: groups before and after "::", the last four bytes perhaps as IPv4.
private func parseIPv6(_ text: String) -> [UInt8]? {
    let all = Array(text.utf8)
    guard !all.isEmpty, !all.contains(0) else { return nil }
    var head: [UInt8] = []
    var gap: Int?
    var place = 0
    // A colon at the very beginning must be two of them.
    if all[0] == 0x3A {
        guard all.count >= 2, all[1] == 0x3A else { return nil }
        gap = 0
        place = 2
    }
    while place < all.count {
        let start = place
        while place < all.count, all[place] != 0x3A, all[place] != 0x2E { place += 1 }
        if place < all.count, all[place] == 0x2E {
            // A dot: the rest of the text must be IPv4, and there must be room for it.
            guard let four = parseIPv4(String(decoding: all[start...], as: UTF8.self)), head.count <= 12 else {
                return nil
            }
            head += four
            place = all.count
            break
        }
        let digits = all[start..<place]
        guard (1...4).contains(digits.count), head.count <= 14 else { return nil }
        var value: UInt16 = 0
        for digit in digits {
            switch digit {
            case 0x30...0x39: value = value << 4 | UInt16(digit - 0x30)
            case 0x41...0x46: value = value << 4 | UInt16(digit - 0x41 + 10)
            case 0x61...0x66: value = value << 4 | UInt16(digit - 0x61 + 10)
            default: return nil
            }
        }
        head += [UInt8(value >> 8), UInt8(value & 0xFF)]
        guard place < all.count else { break }
        // One colon: another group must follow. Two: the gap, once.
        place += 1
        guard place < all.count else { return nil }
        if all[place] == 0x3A {
            guard gap == nil else { return nil }
            gap = head.count
            place += 1
        }
    }
    guard let gap else { return head.count == 16 ? head : nil }
    // "::" stands for one group at least.
    guard head.count <= 14 else { return nil }
    return Array(head[..<gap]) + [UInt8](repeating: 0, count: 16 - head.count) + Array(head[gap...])
}

func parseAddress(_ text: String) throws -> [UInt8] {
    if let four = parseIPv4(text) { return four }
    if let six = parseIPv6(text) { return six }
    throw AddressError.notAnAddress(text)
}

func formatAddress(_ bytes: [UInt8]) throws -> String {
    var room = [CChar](repeating: 0, count: 200)
    let length = socklen_t(room.count)
    let pointer: UnsafePointer<CChar>?
    if bytes.count == 4 {
        pointer = inet_ntop(AF_INET, bytes, &room, length)
    } else if bytes.count == 16 {
        pointer = inet_ntop(AF_INET6, bytes, &room, length)
    } else {
        throw AddressError.wrongLength(bytes.count)
    }
    guard pointer != nil else { fatalError("inet_ntop") }
    return room.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
}
