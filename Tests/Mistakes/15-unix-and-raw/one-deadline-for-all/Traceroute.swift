import Course
import Sockets

private enum Answer {
    case router(String)
    case end(String)
    case silence
}

func traceroute(
    socket: Int32, to destination: SocketAddress, identifier: UInt16, mostHops: Int, timeout: Milliseconds
) throws -> [String?] {
    let deadline = nanoseconds() + UInt64(timeout) * 1_000_000
    var buffer = [UInt8](repeating: 0, count: 65_536)

    func answer(to sequence: UInt16) throws -> Answer {
        while let count = try receive(socket, &buffer, until: deadline) {
            let packet = Array(buffer.prefix(count))
            if let quote = try? parseQuotedEcho(packet) {
                guard quote.identifier == identifier && quote.sequence == sequence else { continue }
                return quote.type == 3 ? .end(quote.source) : .router(quote.source)
            }
            if let reply = try? parseEchoReply(packet, hasHeader: true) {
                guard reply.identifier == identifier && reply.sequence == sequence else { continue }
                return .end(packet[12..<16].map { "\($0)" }.joined(separator: "."))
            }
        }
        return .silence
    }

    var route: [String?] = []
    for hop in 1...max(1, mostHops) {
        var ttl = Int32(hop)
        try check("setsockopt", setsockopt(socket, IPPROTO_IP, IP_TTL, &ttl, 4))
        let probe = echoRequest(identifier: identifier, sequence: UInt16(hop), payload: [1, 2, 3, 4])
        while destination.withSockaddr({ sendto(socket, probe, probe.count, MSG_NOSIGNAL, $0, $1) }) < 0 {
            if errno != EINTR { throw SocketError("sendto", errno) }
        }
        switch try answer(to: UInt16(hop)) {
        case .router(let name): route.append(name)
        case .silence: route.append(nil)
        case .end(let name): return route + [name]
        }
    }
    return route
}
