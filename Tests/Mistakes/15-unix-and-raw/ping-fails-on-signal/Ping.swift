import Course
import Sockets

func openPing(address: String) throws -> PingSocket {
    let destination = try SocketAddress(host: address, port: 0)
    // The kind that needs no privilege, where net.ipv4.ping_group_range permits it; else the raw one (CAP_NET_RAW).
    var isRaw = false
    var descriptor = socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP)
    if descriptor < 0 {
        descriptor = try check("socket", socket(AF_INET, SOCK_RAW, IPPROTO_ICMP))
        isRaw = true
    }
    do {
        // Only what comes from there is received from now on.
        try check("connect", destination.withSockaddr { connect(descriptor, $0, $1) })
        // The kernel hands replies to a datagram socket by their identifier: it chooses one, writes it into each request,
        // and calls it the socket's port.
        let identifier = isRaw ? UInt16.random(in: 1...UInt16.max) : try SocketAddress.local(of: descriptor).port
        return PingSocket(descriptor: descriptor, hasHeader: isRaw, identifier: identifier)
    } catch {
        close(descriptor)
        throw error
    }
}

func ping(_ socket: PingSocket, count: Int, timeout: Milliseconds) throws -> [UInt64?] {
    var times: [UInt64?] = []
    for number in 0..<count {
        let sequence = UInt16(truncatingIfNeeded: number + 1)
        let request = echoRequest(
            identifier: socket.identifier, sequence: sequence, payload: Array("SocketLab measures the way.".utf8))
        let started = nanoseconds()
        while request.withUnsafeBytes({ send(socket.descriptor, $0.baseAddress, $0.count, MSG_NOSIGNAL) }) < 0 {
            guard errno == EINTR else { throw SocketError("send", errno) }
        }
        times.append(try awaitReply(socket, sequence, started, timeout))
    }
    return times
}

/// The time until the reply to this one request; nil when the timeout has passed. Everybody else's packets, late replies,
/// and our own requests, which a raw socket on loopback sees come in, are passed over: they must not prolong the wait.
private func awaitReply(
    _ socket: PingSocket, _ sequence: UInt16, _ started: UInt64, _ timeout: Milliseconds
) throws -> UInt64? {
    var buffer = [UInt8](repeating: 0, count: 65_536)
    let deadline = started + UInt64(timeout) * 1_000_000
    while let count = try receive(socket.descriptor, &buffer, until: deadline) {
        let arrived = nanoseconds()
        guard let reply = try? parseEchoReply(Array(buffer[..<count]), hasHeader: socket.hasHeader),
            reply.identifier == socket.identifier, reply.sequence == sequence
        else { continue }
        return arrived - started
    }
    return nil
}

/// The next packet; nil when the deadline has passed.
func receive(_ socket: Int32, _ buffer: inout [UInt8], until deadline: UInt64) throws -> Int? {
    while true {
        let now = nanoseconds()
        if now >= deadline { return nil }
        var waiting = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
        // Rounded up, so that it does not wake before the deadline only to wait again.
        let ready = poll(&waiting, 1, Int32(clamping: (deadline - now + 999_999) / 1_000_000))
        if ready < 0 { throw SocketError("poll", errno) }
        guard ready > 0 else { continue }
        let count = recv(socket, &buffer, buffer.count, MSG_DONTWAIT)
        if count >= 0 { return count }
        guard errno == EINTR || errno == EAGAIN else { throw SocketError("recv", errno) }
    }
}

/// A clock that nobody sets: the time of day may jump.
func nanoseconds() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}
