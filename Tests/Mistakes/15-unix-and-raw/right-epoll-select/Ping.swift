import Course
import Sockets

func openPing(address: String) throws -> PingSocket {
    let target = try SocketAddress(host: address, port: 0)
    if target.family != AF_INET { throw SocketError("openPing", EINVAL) }
    var failure = SocketError("socket", EPERM)
    for (kind, whole) in [(SOCK_DGRAM, false), (SOCK_RAW, true)] as [(Int32, Bool)] {
        let fd = socket(AF_INET, kind, IPPROTO_ICMP)
        if fd < 0 {
            failure = SocketError("socket", errno)
            continue
        }
        if target.withSockaddr({ connect(fd, $0, $1) }) != 0 {
            failure = SocketError("connect", errno)
            close(fd)
            throw failure
        }
        guard !whole else { return PingSocket(descriptor: fd, hasHeader: true, identifier: .random(in: 1...0xFFFF)) }
        var name = sockaddr_in()
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let result = withUnsafeMutablePointer(to: &name) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(fd, $0, &size) }
        }
        if result != 0 {
            failure = SocketError("getsockname", errno)
            close(fd)
            throw failure
        }
        return PingSocket(descriptor: fd, hasHeader: false, identifier: UInt16(bigEndian: name.sin_port))
    }
    throw failure
}

func ping(_ socket: PingSocket, count: Int, timeout: Milliseconds) throws -> [UInt64?] {
    var result = [UInt64?](repeating: nil, count: max(0, count))
    for i in result.indices {
        let sequence = UInt16(truncatingIfNeeded: i + 1)
        let request = echoRequest(identifier: socket.identifier, sequence: sequence, payload: Array("abcdefg".utf8))
        let start = nanoseconds()
        while write(socket.descriptor, request, request.count) < 0 {
            if errno != EINTR { throw SocketError("write", errno) }
        }
        try eachPacket(socket.descriptor, until: start + UInt64(max(0, timeout)) * 1_000_000) { packet, arrival in
            guard let reply = try? parseEchoReply(packet, hasHeader: socket.hasHeader) else { return true }
            guard reply.sequence == sequence, reply.identifier == socket.identifier else { return true }
            result[i] = arrival - start
            return false
        }
    }
    return result
}

/// Hands over what arrives before the end, for as long as `body` wants more.
func eachPacket(_ fd: Int32, until end: UInt64, _ body: ([UInt8], UInt64) -> Bool) throws {
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while try isReady(fd, writing: false, until: end) {
        let count = recvfrom(fd, &buffer, buffer.count, MSG_DONTWAIT, nil, nil)
        let arrival = nanoseconds()
        if count >= 0 {
            if !body(Array(buffer[..<count]), arrival) { return }
        } else if errno != EINTR && errno != EAGAIN {
            throw SocketError("recvfrom", errno)
        }
    }
}

func nanoseconds() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}
