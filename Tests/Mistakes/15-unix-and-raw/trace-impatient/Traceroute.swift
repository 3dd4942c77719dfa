import Course
import Sockets

/// One question with its own time to live, and who answers it.
private struct Probe {
    let socket: Int32
    let identifier: UInt16
    let hop: Int

    var sequence: UInt16 { UInt16(truncatingIfNeeded: hop) }

    func send(to destination: SocketAddress) throws {
        var ttl = Int32(hop)
        try check("setsockopt", setsockopt(socket, IPPROTO_IP, IP_TTL, &ttl, socklen_t(MemoryLayout<Int32>.size)))
        let packet = echoRequest(identifier: identifier, sequence: sequence, payload: Array("who is there?".utf8))
        var sent = -1
        repeat {
            sent = destination.withSockaddr { sendto(socket, packet, packet.count, MSG_NOSIGNAL, $0, $1) }
        } while sent == -1 && errno == EINTR
        try check("sendto", sent)
    }

    enum Answer {
        case router(String)
        case end(String)
    }

    func read(_ packet: [UInt8]) -> Answer? {
        do {
            let reply = try parseEchoReply(packet, hasHeader: true)
            guard reply.identifier == identifier, reply.sequence == sequence else { return nil }
            return .end(try IPv4Packet(packet[...]).source)
        } catch {
            guard let quote = try? parseQuotedEcho(packet), quote.identifier == identifier, quote.sequence == sequence
            else { return nil }
            return quote.type == 3 ? .end(quote.source) : .router(quote.source)
        }
    }

    func wait(_ patience: Milliseconds) throws -> Answer? {
        let end = nanoseconds() + UInt64(patience) * 1_000_000
        var room = [UInt8](repeating: 0, count: 65_536)
        while let count = try receive(socket, &room, until: end) {
            if let answer = read(Array(room[..<count])) { return answer }
        }
        return nil
    }
}

func traceroute(
    socket: Int32, to destination: SocketAddress, identifier: UInt16, mostHops: Int, timeout: Milliseconds
) throws -> [String?] {
    var names: [String?] = []
    var patience = timeout
    for hop in stride(from: 1, through: mostHops, by: 1) {
        let probe = Probe(socket: socket, identifier: identifier, hop: hop)
        try probe.send(to: destination)
        switch try probe.wait(patience) {
        case .end(let name): return names + [name]
        case .router(let name):
            names.append(name)
            patience = timeout
        case nil:
            names.append(nil)
            // Behind a wall there is mostly only silence: thirty hops of it should not take thirty times as long.
            patience = max(timeout / 4, 1)
        }
    }
    return names
}
