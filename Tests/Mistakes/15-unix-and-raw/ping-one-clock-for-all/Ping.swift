import Course
import Sockets

/// A clock that nobody sets, in nanoseconds.
func nanoseconds() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

/// The next packet; nil when the deadline has passed.
func receive(_ socket: Int32, _ buffer: inout [UInt8], until deadline: UInt64) throws -> Int? {
    while nanoseconds() < deadline {
        let left = deadline - min(deadline, nanoseconds())
        var entry = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
        switch poll(&entry, 1, Int32(clamping: (left + 999_999) / 1_000_000)) {
        case 1:
            let count = recv(socket, &buffer, buffer.count, MSG_DONTWAIT)
            if count >= 0 { return count }
            if errno != EINTR && errno != EAGAIN { throw SocketError("recv", errno) }
        case 0:
            continue
        default:
            if errno != EINTR { throw SocketError("poll", errno) }
        }
    }
    return nil
}

func openPing(address: String) throws -> PingSocket {
    let target = try SocketAddress(host: address, port: 0)
    guard target.family == AF_INET else { throw SocketError("ping", EAFNOSUPPORT) }
    let kinds: [Int32] = [SOCK_DGRAM, SOCK_RAW]
    for kind in kinds {
        let fd = socket(AF_INET, kind | SOCK_CLOEXEC, IPPROTO_ICMP)
        if fd < 0 {
            let code = errno
            if kind == kinds[0] { continue }
            throw SocketError("socket", code)
        }
        do {
            try check("connect", target.withSockaddr { connect(fd, $0, $1) })
            let own = try kind == kinds[1] ? UInt16.random(in: .min ... .max) : SocketAddress.local(of: fd).port
            return PingSocket(descriptor: fd, hasHeader: kind == kinds[1], identifier: own)
        } catch {
            close(fd)
            throw error
        }
    }
    throw SocketError("socket", EPROTONOSUPPORT)
}

private final class Session {
    private let socket: PingSocket
    private let end: UInt64
    private var room = [UInt8](repeating: 0, count: 1 << 16)

    init(_ socket: PingSocket, _ timeout: Milliseconds) {
        self.socket = socket
        // Once, and for everything: whatever arrives cannot make it later.
        end = nanoseconds() + UInt64(timeout) * 1_000_000
    }

    func measure(_ sequence: UInt16) throws -> UInt64? {
        let packet = echoRequest(identifier: socket.identifier, sequence: sequence, payload: Array("echo".utf8))
        let sent = nanoseconds()
        while send(socket.descriptor, packet, packet.count, MSG_NOSIGNAL) == -1 {
            if errno != EINTR { throw SocketError("send", errno) }
        }
        while let count = try receive(socket.descriptor, &room, until: end) {
            let came = nanoseconds()
            if isReply(count, to: sequence) { return came - sent }
        }
        return nil
    }

    private func isReply(_ count: Int, to sequence: UInt16) -> Bool {
        guard let reply = try? parseEchoReply(Array(room.prefix(count)), hasHeader: socket.hasHeader) else {
            return false
        }
        return reply.identifier == socket.identifier && reply.sequence == sequence
    }
}

func ping(_ socket: PingSocket, count: Int, timeout: Milliseconds) throws -> [UInt64?] {
    let session = Session(socket, timeout)
    return try (0..<count).map { try session.measure(UInt16(truncatingIfNeeded: $0 + 1)) }
}
