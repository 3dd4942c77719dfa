import Course
import Sockets

func openPing(address: String) throws -> PingSocket {
    let peer = try SocketAddress(host: address, port: 0)
    guard peer.family == AF_INET else { throw SocketError("connect", EAFNOSUPPORT) }
    for (type, isRaw) in [(SOCK_RAW, true), (SOCK_DGRAM, false)] as [(Int32, Bool)] {
        let descriptor = socket(AF_INET, type, IPPROTO_ICMP)
        if descriptor < 0 {
            if isRaw { continue }
            throw SocketError("socket", errno)
        }
        guard peer.withSockaddr({ connect(descriptor, $0, $1) }) == 0 else {
            let code = errno
            close(descriptor)
            throw SocketError("connect", code)
        }
        let identifier = isRaw ? UInt16(truncatingIfNeeded: getpid()) : try SocketAddress.local(of: descriptor).port
        return PingSocket(descriptor: descriptor, hasHeader: isRaw, identifier: identifier)
    }
    throw SocketError("socket", EPERM)
}

func ping(_ socket: PingSocket, count: Int, timeout: Milliseconds) throws -> [UInt64?] {
    var times = [UInt64?](repeating: nil, count: count)
    var buffer = [UInt8](repeating: 0, count: 2048)
    for index in 0..<count {
        let request = echoRequest(identifier: socket.identifier, sequence: UInt16(index + 1), payload: [])
        let start = nanoseconds()
        let end = start + UInt64(timeout) * 1_000_000
        while write(socket.descriptor, request, request.count) < 0 {
            if errno != EINTR { throw SocketError("write", errno) }
        }
        while times[index] == nil, nanoseconds() < end {
            var limit = timeval()
            let left = Int((end - min(end, nanoseconds())) / 1000)
            limit.tv_sec = left / 1_000_000
            limit.tv_usec = max(1, left % 1_000_000)
            setsockopt(socket.descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
            let size = recvfrom(socket.descriptor, &buffer, buffer.count, 0, nil, nil)
            let now = nanoseconds()
            if size < 0 {
                if errno == EINTR || errno == EAGAIN { continue }
                throw SocketError("recvfrom", errno)
            }
            do {
                let reply = try parseEchoReply(Array(buffer[..<size]), hasHeader: socket.hasHeader)
                if (reply.identifier, reply.sequence) == (socket.identifier, UInt16(index + 1)) {
                    times[index] = now - start
                }
            } catch is PacketError { continue }
        }
    }
    return times
}

func receive(_ socket: Int32, _ buffer: inout [UInt8], until deadline: UInt64) throws -> Int? {
    while true {
        let now = nanoseconds()
        guard now < deadline else { return nil }
        var set = fd_set()
        fdZero(&set)
        fdSet(socket, &set)
        let left = Int(deadline - now) / 1000 + 1
        var limit = timeval(tv_sec: left / 1_000_000, tv_usec: left % 1_000_000)
        if select(socket + 1, &set, nil, nil, &limit) > 0 {
            let count = recv(socket, &buffer, buffer.count, MSG_DONTWAIT)
            if count >= 0 { return count }
        }
    }
}

func nanoseconds() -> UInt64 { clock_gettime_nsec(CLOCK_MONOTONIC) }

private func clock_gettime_nsec(_ clock: clockid_t) -> UInt64 {
    var time = timespec()
    clock_gettime(clock, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}
