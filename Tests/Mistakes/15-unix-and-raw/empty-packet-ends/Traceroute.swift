import Course
import Sockets

/// Who answered a probe.
private enum Answer {
    case router(String)
    case last(String)
    case silence
}

private final class Tracer {
    let socket: Int32
    let destination: SocketAddress
    let identifier: UInt16
    let patience: UInt64
    private var packet = [UInt8](repeating: 0, count: 1 << 16)

    init(socket: Int32, destination: SocketAddress, identifier: UInt16, timeout: Milliseconds) {
        self.socket = socket
        self.destination = destination
        self.identifier = identifier
        patience = UInt64(timeout) * 1_000_000
    }

    func probe(_ hop: Int) throws {
        var limit = Int32(hop)
        try check("setsockopt", setsockopt(socket, IPPROTO_IP, IP_TTL, &limit, socklen_t(MemoryLayout<Int32>.size)))
        let request = echoRequest(
            identifier: identifier, sequence: UInt16(truncatingIfNeeded: hop), payload: [UInt8](0..<24))
        while destination.withSockaddr({ sendto(socket, request, request.count, MSG_NOSIGNAL, $0, $1) }) < 0 {
            guard errno == EINTR else { throw SocketError("sendto", errno) }
        }
    }

    func answer(to hop: Int) throws -> Answer {
        let sequence = UInt16(truncatingIfNeeded: hop)
        let deadline = nanoseconds() + patience
        while true {
            let now = nanoseconds()
            guard now < deadline else { return .silence }
            var entry = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
            let ready = poll(&entry, 1, Int32(clamping: (deadline - now) / 1_000_000 + 1))
            if ready < 0 && errno != EINTR { throw SocketError("poll", errno) }
            if ready < 1 { continue }
            let length = recv(socket, &packet, packet.count, MSG_DONTWAIT)
            if length < 0 {
                guard errno == EINTR || errno == EAGAIN else { throw SocketError("recv", errno) }
                continue
            }
            // Nothing more will come for this one.
            if length == 0 { return .silence }
            if let answer = recognize(Array(packet[..<length]), sequence) { return answer }
        }
    }

    private func recognize(_ packet: [UInt8], _ sequence: UInt16) -> Answer? {
        if let error = try? parseQuotedEcho(packet) {
            guard error.identifier == identifier, error.sequence == sequence else { return nil }
            return error.type == 3 ? .last(error.source) : .router(error.source)
        }
        guard let reply = try? parseEchoReply(packet, hasHeader: true), reply.identifier == identifier,
            reply.sequence == sequence
        else { return nil }
        return .last(packet[12..<16].map { String($0) }.joined(separator: "."))
    }
}

func traceroute(
    socket: Int32, to destination: SocketAddress, identifier: UInt16, mostHops: Int, timeout: Milliseconds
) throws -> [String?] {
    let tracer = Tracer(socket: socket, destination: destination, identifier: identifier, timeout: timeout)
    var way: [String?] = []
    for hop in 0..<mostHops {
        try tracer.probe(hop + 1)
        switch try tracer.answer(to: hop + 1) {
        case .silence: way.append(nil)
        case .router(let address): way.append(address)
        case .last(let address): return way + [address]
        }
    }
    return way
}
