import Course
import Sockets

func openPing(address: String) throws -> PingSocket {
    let target = try SocketAddress(host: address, port: 0)
    guard target.family == AF_INET else { throw SocketError("socket", EAFNOSUPPORT) }
    var raw = false
    var fd = socket(AF_INET, SOCK_DGRAM, Int32(IPPROTO_ICMP))
    if fd < 0 {
        raw = true
        fd = try check("socket", socket(AF_INET, SOCK_RAW, Int32(IPPROTO_ICMP)))
    }
    do {
        try check("connect", target.withSockaddr { connect(fd, $0, $1) })
        let identifier = raw ? UInt16.random(in: 1 ... .max) : try SocketAddress.local(of: fd).port
        return PingSocket(descriptor: fd, hasHeader: raw, identifier: identifier)
    } catch {
        close(fd)
        throw error
    }
}

func nanoseconds() -> UInt64 {
    var t = timespec()
    clock_gettime(CLOCK_MONOTONIC, &t)
    return UInt64(t.tv_sec) * 1_000_000_000 + UInt64(t.tv_nsec)
}

/// The next packet before `deadline`; nil when there is none.
func packet(_ fd: Int32, _ deadline: UInt64) throws -> [UInt8]? {
    while true {
        let n = nanoseconds()
        guard n < deadline else { return nil }
        let us = Int((deadline - n) / 1000)
        var left = timeval(tv_sec: us / 1_000_000, tv_usec: us % 1_000_000)
        var set = fd_set()
        fdZero(&set)
        fdSet(fd, &set)
        let ready = select(fd + 1, &set, nil, nil, &left)
        if ready < 0 && errno != EINTR { throw SocketError("select", errno) }
        if ready < 1 { continue }
        var buffer = [UInt8](repeating: 0, count: 65_536)
        let count = recv(fd, &buffer, buffer.count, MSG_DONTWAIT)
        if count >= 0 { return Array(buffer[..<count]) }
        if ![EINTR, EAGAIN, ECONNREFUSED, EHOSTUNREACH, ENETUNREACH].contains(errno) {
            throw SocketError("recv", errno)
        }
    }
}

func ping(_ socket: PingSocket, count: Int, timeout: Milliseconds) throws -> [UInt64?] {
    var times: [UInt64?] = []
    for number in 1...max(1, count) where number <= count {
        let request = echoRequest(
            identifier: socket.identifier, sequence: UInt16(truncatingIfNeeded: number), payload: Array("lab".utf8))
        let start = nanoseconds()
        while send(socket.descriptor, request, request.count, MSG_NOSIGNAL) < 0 {
            if errno != EINTR { throw SocketError("send", errno) }
        }
        let deadline = start + UInt64(timeout) * 1_000_000
        var time: UInt64?
        while time == nil, let p = try packet(socket.descriptor, deadline) {
            let now = nanoseconds()
            if let reply = try? parseEchoReply(p, hasHeader: socket.hasHeader),
                (reply.identifier, reply.sequence) == (socket.identifier, UInt16(truncatingIfNeeded: number))
            {
                time = now - start
            }
        }
        times.append(time)
    }
    return times
}
