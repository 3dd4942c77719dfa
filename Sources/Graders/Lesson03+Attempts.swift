// Lesson 03: the datagrams of `request`, as the grader reads and answers them.
import Course
import GraderKit
import Sockets
import Wire

/// A datagram of `request`: request number, attempt, message.
struct Attempt {
    let number: UInt32
    let attempt: UInt32
    let sender: SocketAddress

    /// Reads it, and fails if it is not what it should be.
    ///
    /// - Parameter expected: the attempt that should be made now; nil if any will do.
    /// - Parameter first: an earlier attempt of the same call, which had the same number.
    init(_ datagram: DatagramPeer.Datagram, _ expected: Int?, _ message: [UInt8]?, of first: Attempt?) throws {
        let bytes = datagram.bytes
        let form = say("8 bytes, then the message", "8 字节，后面是消息")
        guard bytes.count >= 8, bytes != message else {
            throw Failure(
                expected: form,
                got: say("\(quoted(bytes)), \(bytes.count) bytes", "\(quoted(bytes))，\(bytes.count) 字节"),
                cause: "no-request-header")
        }
        number = bytes[0..<4].reduce(0) { $0 << 8 | UInt32($1) }
        attempt = bytes[4..<8].reduce(0) { $0 << 8 | UInt32($1) }
        sender = datagram.sender
        let header = hexText(Array(bytes.prefix(8)))
        if let expected, attempt != expected {
            throw Failure(
                expected: say("attempt \(expected), big-endian, in bytes 4 to 7", "第 4 到 7 字节是大端序的尝试号 \(expected)"),
                got: say("\(attempt); the 8 bytes are \(header)", "\(attempt)；这 8 字节是 \(header)"),
                cause: attempt.byteSwapped == expected ? "header-in-host-order" : "attempt-not-counted")
        }
        // No check makes so many: they are small numbers with their bytes in the other order.
        if attempt == 0 || attempt > 0xffff {
            throw Failure(
                expected: say("an attempt from 1, big-endian, in bytes 4 to 7", "第 4 到 7 字节是从 1 开始的大端序尝试号"),
                got: say("\(attempt); the 8 bytes are \(header)", "\(attempt)；这 8 字节是 \(header)"),
                cause: attempt == 0
                    ? "attempt-not-counted"
                    : attempt.byteSwapped <= 0xffff ? "header-in-host-order" : "no-request-header")
        }
        if let first, number != first.number {
            throw Failure(
                expected: say("the request number of attempt 1, \(first.number)", "第 1 次尝试的请求号 \(first.number)"),
                got: "\(number)", cause: "number-changes")
        }
        let payload = Array(bytes.dropFirst(8))
        if let message, payload != message {
            throw Failure(
                expected: form, got: quoted(bytes), difference: byteDifference(expected: message, got: payload))
        }
    }

    /// What a server answers to it; with another number or attempt, what it must not be taken for.
    func answer(_ payload: [UInt8], number: UInt32? = nil, attempt: UInt32? = nil) -> [UInt8] {
        bigEndian(number ?? self.number) + bigEndian(attempt ?? self.attempt) + payload
    }

    private func bigEndian(_ number: UInt32) -> [UInt8] { withUnsafeBytes(of: number.bigEndian) { Array($0) } }
}

extension DatagramPeer {
    @discardableResult
    func expectAttempt(
        _ number: Int, _ message: [UInt8], of first: Attempt? = nil, during call: PendingCall
    ) throws -> Attempt {
        let datagram = try expectDatagram(
            during: call, say("attempt \(number) at \(address)", "\(address) 收到第 \(number) 次尝试"))
        return try Attempt(datagram, number, message, of: first)
    }
}
