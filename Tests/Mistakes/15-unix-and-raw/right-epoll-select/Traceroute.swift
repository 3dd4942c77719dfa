import Course
import Sockets

func traceroute(
    socket: Int32, to destination: SocketAddress, identifier: UInt16, mostHops: Int, timeout: Milliseconds
) throws -> [String?] {
    var route: [String?] = []
    var arrived = false
    while !arrived && route.count < mostHops {
        let hop = UInt16(truncatingIfNeeded: route.count + 1)
        var ttl = Int32(hop)
        try check(
            "setsockopt", setsockopt(socket, IPPROTO_IP, IP_TTL, &ttl, socklen_t(MemoryLayout.size(ofValue: ttl))))
        let probe = echoRequest(identifier: identifier, sequence: hop, payload: [UInt8](repeating: 7, count: 32))
        var sent: Int
        repeat {
            sent = destination.withSockaddr { sendto(socket, probe, probe.count, 0, $0, $1) }
        } while sent < 0 && errno == EINTR
        try check("sendto", sent)

        var name: String?
        try eachPacket(socket, until: nanoseconds() + UInt64(max(0, timeout)) * 1_000_000) { packet, _ in
            if let error = try? parseQuotedEcho(packet), error.identifier == identifier, error.sequence == hop {
                name = error.source
                arrived = error.type == 3
            } else if let reply = try? parseEchoReply(packet, hasHeader: true), reply.identifier == identifier,
                reply.sequence == hop
            {
                name = packet[12..<16].map { String($0) }.joined(separator: ".")
                arrived = true
            }
            return name == nil
        }
        route.append(name)
    }
    return route
}
