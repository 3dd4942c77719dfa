import Course
import Sockets

func request(
    message: [UInt8], host: String, port: UInt16, timeout: Milliseconds, attempts: Int
) throws -> Answer {
    let server = try SocketAddress(host: host, port: port)
    let client = try check("socket", socket(server.family, SOCK_DGRAM, 0))
    defer { close(client) }

    // Random, not counted from 1: an answer to an earlier run of the program may still be under way to a port that we
    // have now, and what can be guessed can be forged.
    let number = UInt32.random(in: .min ... .max)
    var attempt: UInt32 = 0
    while attempt < attempts {
        attempt += 1
        let datagram = bigEndianBytes(number) + bigEndianBytes(attempt) + message
        try check(
            "sendto",
            retryingInterrupts { server.withSockaddr { sendto(client, datagram, datagram.count, 0, $0, $1) } })

        // One deadline an attempt. Whatever else arrives meanwhile is passed over and does not move it.
        // Exponential back-off: the network may be congested.
        let patience = timeout * (1 << Int(min(attempt - 1, 20)))
        let deadline = monotonicNanoseconds() + patience * nanosecondsPerMillisecond
        while let (bytes, sender) = try receiveDatagram(on: client, until: deadline) {
            // The socket is not connected, so anybody may send to it: ask who did.
            guard sender == server, let reply = Reply(bytes) else { continue }
            // An answer to an attempt before this one is late, and right. One to an attempt that we have not made yet
            // cannot be an answer.
            guard reply.number == number, (1...attempt).contains(reply.attempt) else { continue }
            return Answer(payload: reply.payload, attempt: Int(reply.attempt))
        }
    }
    throw RequestError.noAnswer
}

/// An answer as it is on the wire: request number, attempt (both u32, big-endian), payload.
private struct Reply {
    let number: UInt32
    let attempt: UInt32
    let payload: [UInt8]

    /// Nil if the datagram is too short for the header. It comes from the network: it may be anything.
    init?(_ bytes: [UInt8]) {
        guard bytes.count >= 8 else { return nil }
        number = bigEndianNumber(bytes[0..<4])
        attempt = bigEndianNumber(bytes[4..<8])
        payload = Array(bytes[8...])
    }
}

private func bigEndianBytes(_ number: UInt32) -> [UInt8] { withUnsafeBytes(of: number.bigEndian) { Array($0) } }

private func bigEndianNumber(_ bytes: ArraySlice<UInt8>) -> UInt32 { bytes.reduce(0) { $0 << 8 | UInt32($1) } }
