// Lesson 15: packets as the grader makes them. By other means than the reference: what both agree on is no one's habit.
import Foundation

/// The checksum of RFC 1071, word by word with the carry added at once.
func packetChecksum(_ bytes: [UInt8]) -> UInt16 {
    var sum: UInt32 = 0
    for start in stride(from: 0, to: bytes.count, by: 2) {
        sum += UInt32(bytes[start]) * 256 + (start + 1 < bytes.count ? UInt32(bytes[start + 1]) : 0)
        if sum > 0xFFFF { sum -= 0xFFFF }
    }
    return UInt16(0xFFFF - sum)
}

func bigEndian(_ number: UInt16) -> [UInt8] { [UInt8(number / 256), UInt8(number % 256)] }

struct ICMPMessage {
    var type: UInt8
    var code: UInt8 = 0
    /// The four bytes behind the checksum: identifier and sequence, in an echo.
    var rest: [UInt8] = [0, 0, 0, 0]
    var payload: [UInt8] = []
    var checksumIsWrong = false

    static func echo(_ type: UInt8, _ identifier: UInt16, _ sequence: UInt16, _ payload: [UInt8] = []) -> ICMPMessage {
        ICMPMessage(type: type, rest: bigEndian(identifier) + bigEndian(sequence), payload: payload)
    }

    static func reply(_ identifier: UInt16, _ sequence: UInt16, _ payload: [UInt8] = []) -> ICMPMessage {
        echo(0, identifier, sequence, payload)
    }

    /// An error that quotes so much of a packet.
    static func error(_ type: UInt8, code: UInt8 = 0, quoting quote: [UInt8]) -> ICMPMessage {
        ICMPMessage(type: type, code: code, payload: quote)
    }

    var bytes: [UInt8] {
        let checksum = packetChecksum([type, code, 0, 0] + rest + payload)
        return [type, code] + bigEndian(checksumIsWrong ? checksum ^ 0x0101 : checksum) + rest + payload
    }
}

struct IPv4Datagram {
    var source = "192.0.2.1"
    var destination = "192.0.2.2"
    var version: UInt8 = 4
    var protocolNumber: UInt8 = 1
    /// A multiple of four bytes, 40 at most.
    var options: [UInt8] = []
    /// nil: as they are.
    var headerWords: UInt8?
    var total: Int?
    /// Behind the packet, as a network below may leave it.
    var padding: [UInt8] = []
    var content: [UInt8]

    init(_ content: [UInt8]) { self.content = content }

    var bytes: [UInt8] {
        let words = headerWords ?? UInt8(5 + options.count / 4)
        let length = UInt16(total ?? 20 + options.count + content.count)
        func address(_ text: String) -> [UInt8] { text.split(separator: ".").compactMap { UInt8($0) } }
        var header: [UInt8] =
            [version << 4 | words, 0] + bigEndian(length) + [0x12, 0x34, 0, 0, 61, protocolNumber, 0, 0]
        header += address(source) + address(destination) + options
        let checksum = bigEndian(packetChecksum(header))
        (header[10], header[11]) = (checksum[0], checksum[1])
        return header + content + padding
    }
}

/// No operation, ten times and more: options that mean nothing and must be skipped.
func ipOptions(_ count: Int) -> [UInt8] { Array(repeating: 1, count: count - 1) + [0] }
