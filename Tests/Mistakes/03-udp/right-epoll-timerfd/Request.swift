import Course
import Sockets

func request(
    message: [UInt8], host: String, port: UInt16, timeout: Milliseconds, attempts: Int
) throws -> Answer {
    let server = try SocketAddress(host: host, port: port)
    let client = try check("socket", socket(server.family, SOCK_DGRAM, 0))
    defer { close(client) }
    var generator = SystemRandomNumberGenerator()
    let number = UInt32(truncatingIfNeeded: generator.next())
    var datagram = [UInt8](repeating: 0, count: 8) + message
    var room = [UInt8](repeating: 0, count: 1 << 16)

    return try withPatience(client) { patience in
        for made in stride(from: UInt32(1), through: UInt32(clamping: attempts), by: 1) {
            datagram.withUnsafeMutableBytes {
                $0.storeBytes(of: number.bigEndian, as: UInt32.self)
                $0.storeBytes(of: made.bigEndian, toByteOffset: 4, as: UInt32.self)
            }
            try again("sendto") { server.withSockaddr { sendto(client, datagram, datagram.count, 0, $0, $1) } }
            try patience.reset(timeout)
            while let (bytes, sender) = try patience.datagram(client, &room) {
                guard bytes.count >= 8, sender == server else { continue }
                let (theirs, answered) = bytes.withUnsafeBytes {
                    (
                        UInt32(bigEndian: $0.loadUnaligned(as: UInt32.self)),
                        UInt32(bigEndian: $0.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
                    )
                }
                if theirs == number && answered >= 1 && answered <= made {
                    return Answer(payload: Array(bytes.dropFirst(8)), attempt: Int(answered))
                }
            }
        }
        throw RequestError.noAnswer
    }
}
