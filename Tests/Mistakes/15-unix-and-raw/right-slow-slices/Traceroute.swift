import Course
import Sockets

func traceroute(
    socket: Int32, to destination: SocketAddress, identifier: UInt16, mostHops: Int, timeout: Milliseconds
) throws -> [String?] {
    var limit: UInt64 = 0
    if timeout > 0 {
        limit = UInt64(timeout) * 1_000_000
    }
    var hops: [String?] = []
    var hop = 1
    while hop <= mostHops {
        let sequence = UInt16(truncatingIfNeeded: hop)
        try setTimeToLive(socket, hop)
        try sendProbe(socket, destination, identifier, sequence)
        let started = nanoseconds()

        var address: String? = nil
        var isEnd = false
        while address == nil {
            let (packet, _) = try nextPacket(socket, started, limit)
            guard let packet else {
                break
            }
            if isReply(packet, identifier, sequence) {
                address = sourceOf(packet)
                isEnd = true
            } else if let error = errorAbout(packet, identifier, sequence) {
                address = error.source
                if error.type == 3 {
                    isEnd = true
                }
            }
        }
        hops.append(address)
        if isEnd {
            return hops
        }
        hop += 1
    }
    return hops
}

private func setTimeToLive(_ socket: Int32, _ hop: Int) throws {
    var value = Int32(hop)
    if setsockopt(socket, IPPROTO_IP, IP_TTL, &value, socklen_t(4)) == -1 {
        throw SocketError("setsockopt", errno)
    }
}

private func sendProbe(
    _ socket: Int32, _ destination: SocketAddress, _ identifier: UInt16, _ sequence: UInt16
) throws {
    let request = echoRequest(identifier: identifier, sequence: sequence, payload: [0x74, 0x72, 0x61, 0x63, 0x65])
    while true {
        let sent = destination.withSockaddr { address, length in
            sendto(socket, request, request.count, MSG_NOSIGNAL, address, length)
        }
        if sent >= 0 {
            return
        }
        let code = errno
        if code != EINTR {
            throw SocketError("sendto", code)
        }
    }
}

private func isReply(_ packet: [UInt8], _ identifier: UInt16, _ sequence: UInt16) -> Bool {
    do {
        let reply = try parseEchoReply(packet, hasHeader: true)
        return reply.identifier == identifier && reply.sequence == sequence
    } catch {
        return false
    }
}

private func errorAbout(_ packet: [UInt8], _ identifier: UInt16, _ sequence: UInt16) -> QuotedEcho? {
    do {
        let error = try parseQuotedEcho(packet)
        if error.identifier == identifier && error.sequence == sequence {
            return error
        }
        return nil
    } catch {
        return nil
    }
}
