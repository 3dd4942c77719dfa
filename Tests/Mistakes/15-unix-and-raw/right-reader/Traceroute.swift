import Course
import Sockets

func traceroute(
    socket: Int32, to destination: SocketAddress, identifier: UInt16, mostHops: Int, timeout: Milliseconds
) throws -> [String?] {
    var hops: [String?] = []
    var isThere = false
    while !isThere, hops.count < mostHops {
        let hop = hops.count + 1
        var ttl = CInt(hop)
        try check("setsockopt", setsockopt(socket, Int32(IPPROTO_IP), IP_TTL, &ttl, 4))
        let packet = echoRequest(identifier: identifier, sequence: UInt16(hop), payload: [1, 2, 3])
        try check("sendto", destination.withSockaddr { sendto(socket, packet, packet.count, 0, $0, $1) })

        var answer: String?
        var buffer = [UInt8](repeating: 0, count: 4096)
        let end = nanoseconds() + UInt64(timeout) * 1_000_000
        while answer == nil, nanoseconds() < end {
            var event = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
            if poll(&event, 1, Int32((end - min(end, nanoseconds())) / 1_000_000) + 1) <= 0 { continue }
            let count = recv(socket, &buffer, buffer.count, 0)
            guard count > 0, let header = try? readHeader(buffer[..<count], whole: true) else { continue }
            let bytes = Array(buffer[..<count])
            if let reply = try? parseEchoReply(bytes, hasHeader: true) {
                guard reply.identifier == identifier, reply.sequence == UInt16(hop) else { continue }
                (answer, isThere) = (header.source, true)
            } else if let error = try? parseQuotedEcho(bytes) {
                guard error.identifier == identifier, error.sequence == UInt16(hop) else { continue }
                (answer, isThere) = (error.source, error.type == 3)
            }
        }
        hops.append(answer)
    }
    return hops
}
