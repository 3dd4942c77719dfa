import Course
import Sockets

func traceroute(
    socket: Int32, to destination: SocketAddress, identifier: UInt16, mostHops: Int, timeout: Milliseconds
) throws -> [String?] {
    var hops: [String?] = []
    while hops.count < mostHops {
        // Each router takes one from it, and the one that takes the last sends the packet back as "time exceeded".
        var timeToLive = Int32(hops.count + 1)
        let size = socklen_t(MemoryLayout<Int32>.size)
        try check("setsockopt", setsockopt(socket, IPPROTO_IP, IP_TTL, &timeToLive, size))
        let sequence = UInt16(truncatingIfNeeded: hops.count + 1)
        let request = echoRequest(identifier: identifier, sequence: sequence, payload: Array("SocketLab".utf8))
        // Not connected: then the kernel would keep from us what comes from the routers.
        while request.withUnsafeBytes({ bytes in
            destination.withSockaddr { sendto(socket, bytes.baseAddress, bytes.count, MSG_NOSIGNAL, $0, $1) }
        }) < 0 {
            guard errno == EINTR else { throw SocketError("sendto", errno) }
        }
        let answer = try awaitAnswer(socket, identifier, sequence, timeout)
        hops.append(answer?.source)
        if answer?.isLast == true { break }
    }
    return hops
}

/// Who answered this probe, and whether the way ends there: the destination replies; "unreachable" leads no further.
private func awaitAnswer(
    _ socket: Int32, _ identifier: UInt16, _ sequence: UInt16, _ timeout: Milliseconds
) throws -> (source: String, isLast: Bool)? {
    var buffer = [UInt8](repeating: 0, count: 65_536)
    while let count = try receive(socket, &buffer, until: nanoseconds() + UInt64(timeout) * 1_000_000) {
        let packet = Array(buffer[..<count])
        if let reply = try? parseEchoReply(packet, hasHeader: true), reply.identifier == identifier,
            reply.sequence == sequence
        {
            return (try IPv4Packet(packet[...]).source, true)
        }
        if let error = try? parseQuotedEcho(packet), error.identifier == identifier, error.sequence == sequence {
            return (error.source, error.type == 3)
        }
    }
    return nil
}
