import Course
import Sockets

/// A connection that is being made, and the question how far it is.
private final class Attempt {
    let descriptor: Int32

    init(_ address: SocketAddress) throws {
        descriptor = try check("socket", socket(address.family, SOCK_STREAM | SOCK_NONBLOCK, 0))
    }

    /// What the kernel has noted about this socket; 0 if nothing is wrong with it.
    var error: Int32 {
        var value: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        return getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &value, &size) == 0 ? value : errno
    }

    func start(_ address: SocketAddress) throws {
        guard descriptor < Int32(FD_SETSIZE) else { throw SocketError("select", EMFILE) }
        let result = address.withSockaddr { connect(descriptor, $0, $1) }
        if result == -1, errno != EINPROGRESS, errno != EINTR { throw SocketError("connect", errno) }
    }

    /// - Returns: false if the time is over.
    func waitForDecision(until end: UInt64) throws -> Bool {
        while true {
            let now = microseconds()
            let left = end > now ? end - now : 0
            var time = timeval(tv_sec: Int(left / 1_000_000), tv_usec: Int(left % 1_000_000))
            var set = fd_set()
            fdZero(&set)
            fdSet(descriptor, &set)
            switch select(descriptor + 1, nil, &set, nil, &time) {
            case 1: return true
            case 0: return false
            default: if errno != EINTR { throw SocketError("select", errno) }
            }
        }
    }

    func finish() throws -> Int32 {
        guard error == 0 else { throw SocketError("connect", error) }
        let flags = try check("fcntl", fcntl(descriptor, F_GETFL))
        try check("fcntl", fcntl(descriptor, F_SETFL, flags & ~O_NONBLOCK))
        return descriptor
    }
}

private func microseconds() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000 + UInt64(time.tv_nsec) / 1000
}

func connectWithTimeout(host: String, port: UInt16, timeout: Milliseconds) throws -> Int32 {
    let end = microseconds() + UInt64(max(0, timeout)) * 1000
    let address = try SocketAddress(host: host, port: port)
    let attempt = try Attempt(address)
    do {
        try attempt.start(address)
        guard try attempt.waitForDecision(until: end) else { throw SocketError("connect", ETIMEDOUT) }
        return try attempt.finish()
    } catch {
        close(attempt.descriptor)
        throw error
    }
}
