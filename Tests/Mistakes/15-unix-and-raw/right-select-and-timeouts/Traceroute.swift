import Course
import Sockets

func traceroute(
    socket: Int32, to destination: SocketAddress, identifier: UInt16, mostHops: Int, timeout: Milliseconds
) throws -> [String?] {
    var hops: [String?] = []
    while hops.count < mostHops {
        let number = hops.count + 1
        var ttl = Int32(number)
        try check("setsockopt", setsockopt(socket, Int32(IPPROTO_IP), IP_TTL, &ttl, 4))
        let probe = echoRequest(identifier: identifier, sequence: UInt16(number), payload: [])
        while destination.withSockaddr({ sendto(socket, probe, probe.count, MSG_NOSIGNAL, $0, $1) }) < 0 {
            if errno != EINTR { throw SocketError("sendto", errno) }
        }
        let deadline = nanoseconds() + UInt64(timeout) * 1_000_000
        var hop: String?
        while hop == nil, let p = try packet(socket, deadline) {
            if let reply = try? parseEchoReply(p, hasHeader: true) {
                if reply.identifier == identifier && Int(reply.sequence) == number {
                    return hops + [try icmp(in: p, hasHeader: true).source]
                }
            } else if let error = try? parseQuotedEcho(p), error.identifier == identifier, Int(error.sequence) == number
            {
                if error.type == 3 { return hops + [error.source] }
                hop = error.source
            }
        }
        hops.append(hop)
    }
    return hops
}
