import Course
import Sockets

private struct Probe: Question {
    let descriptor: Int32
    let destination: SocketAddress
    let identifier: UInt16
    let sequence: UInt16

    func send() -> Int {
        let request = echoRequest(identifier: identifier, sequence: sequence, payload: [0x3F])
        return destination.withSockaddr { sendto(descriptor, request, request.count, MSG_NOSIGNAL, $0, $1) }
    }

    /// Who, and whether it goes on behind it.
    func answer(in packet: [UInt8]) -> (String, Bool)? {
        do {
            let reply = try parseEchoReply(packet, hasHeader: true)
            return reply.identifier == identifier && reply.sequence == sequence ? (dotted(packet), false) : nil
        } catch {
            guard let error = try? parseQuotedEcho(packet), error.identifier == identifier, error.sequence == sequence
            else { return nil }
            return (error.source, error.type == 11)
        }
    }
}

func traceroute(
    socket: Int32, to destination: SocketAddress, identifier: UInt16, mostHops: Int, timeout: Milliseconds
) throws -> [String?] {
    var hops: [String?] = []
    var goesOn = true
    while goesOn && hops.count < mostHops {
        var number = Int32(hops.count + 1)
        try check("setsockopt", setsockopt(socket, IPPROTO_IP, IP_TTL, &number, 4))
        let probe = Probe(
            descriptor: socket, destination: destination, identifier: identifier,
            sequence: UInt16(truncatingIfNeeded: number))
        let answer = try probe.ask(timeout: timeout)?.answer
        hops.append(answer?.0)
        goesOn = answer?.1 ?? true
    }
    return hops
}
