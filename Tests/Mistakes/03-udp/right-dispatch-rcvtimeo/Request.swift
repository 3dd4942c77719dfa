import Course
import Dispatch
import Sockets

func request(
    message: [UInt8], host: String, port: UInt16, timeout: Milliseconds, attempts: Int
) throws -> Answer {
    let number = UInt32.random(in: 0 ... .max)
    return try withDatagramSocket(host, port) { client, server in
        var attempt = 0
        while attempt < attempts {
            attempt += 1
            try say(Ticket(number: number, attempt: attempt).bytes + message, on: client, to: server)
            let deadline = DispatchTime.now() + .milliseconds(timeout)
            while let (bytes, sender) = try hear(client, by: deadline) {
                guard let sender, sender.port == server.port, sender.host == server.host,
                    let ticket = Ticket(bytes), ticket.number == number, 1...attempt ~= ticket.attempt
                else { continue }
                return Answer(payload: Array(bytes.suffix(from: 8)), attempt: ticket.attempt)
            }
        }
        throw RequestError.noAnswer
    }
}

private struct Ticket {
    var number: UInt32
    var attempt: Int

    init(number: UInt32, attempt: Int) { (self.number, self.attempt) = (number, attempt) }

    init?(_ bytes: [UInt8]) {
        guard bytes.count > 7 else { return nil }
        let both = bytes[..<8].reduce(UInt64(0)) { $0 << 8 + UInt64($1) }
        number = UInt32(both >> 32)
        attempt = Int(both & 0xffff_ffff)
    }

    var bytes: [UInt8] {
        let both = UInt64(number) << 32 | UInt64(attempt)
        return (0..<8).map { UInt8(truncatingIfNeeded: both >> (56 - 8 * $0)) }
    }
}
