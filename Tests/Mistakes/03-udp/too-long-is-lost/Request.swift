import Course
import Sockets

func request(
    message: [UInt8], host: String, port: UInt16, timeout: Milliseconds, attempts: Int
) throws -> Answer {
    let server = try SocketAddress(host: host, port: port)
    let client = try check("socket", socket(server.family, SOCK_DGRAM, 0))
    defer { close(client) }

    let number = UInt32.random(in: .min ... .max)
    var attempt: UInt32 = 0
    while attempt < attempts {
        attempt += 1
        let datagram = bigEndianBytes(number) + bigEndianBytes(attempt) + message
        _ = retryingInterrupts { server.withSockaddr { sendto(client, datagram, datagram.count, 0, $0, $1) } }

        let deadline = monotonicNanoseconds() + timeout * nanosecondsPerMillisecond
        while let (bytes, sender) = try receiveDatagram(on: client, until: deadline) {
            guard sender == server, let reply = Reply(bytes) else { continue }
            guard reply.number == number, (1...attempt).contains(reply.attempt) else { continue }
            return Answer(payload: reply.payload, attempt: Int(reply.attempt))
        }
    }
    throw RequestError.noAnswer
}

private struct Reply {
    let number: UInt32
    let attempt: UInt32
    let payload: [UInt8]

    init?(_ bytes: [UInt8]) {
        guard bytes.count >= 8 else { return nil }
        number = bigEndianNumber(bytes[0..<4])
        attempt = bigEndianNumber(bytes[4..<8])
        payload = Array(bytes[8...])
    }
}

private func bigEndianBytes(_ number: UInt32) -> [UInt8] { withUnsafeBytes(of: number.bigEndian) { Array($0) } }

private func bigEndianNumber(_ bytes: ArraySlice<UInt8>) -> UInt32 { bytes.reduce(0) { $0 << 8 | UInt32($1) } }
