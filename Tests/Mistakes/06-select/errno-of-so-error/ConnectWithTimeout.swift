import Course
import Sockets

func connectWithTimeout(host: String, port: UInt16, timeout: Milliseconds) throws -> Int32 {
    let attempt = try Attempt(to: SocketAddress(host: host, port: port))
    do {
        if try !attempt.begin() {
            try attempt.awaitDecision(until: Instant.now.advanced(milliseconds: timeout))
            try attempt.askDecision()
        }
        return try attempt.finish()
    } catch {
        attempt.giveUp()
        throw error
    }
}

/// A point of the monotonic clock, in nanoseconds.
private struct Instant {
    var nanoseconds: Int

    static var now: Instant {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Instant(nanoseconds: Int(time.tv_sec) * 1_000_000_000 + Int(time.tv_nsec))
    }

    func advanced(milliseconds: Int) -> Instant { Instant(nanoseconds: nanoseconds + milliseconds * 1_000_000) }
}

private final class Attempt {
    private let address: SocketAddress
    private let descriptor: Int32

    init(to address: SocketAddress) throws {
        self.address = address
        descriptor = try check("socket", socket(address.family, SOCK_STREAM | SOCK_NONBLOCK, 0))
    }

    /// - Returns: whether it is connected already.
    func begin() throws -> Bool {
        if address.withSockaddr({ connect(descriptor, $0, $1) }) == 0 { return true }
        guard errno == EINPROGRESS || errno == EINTR else { throw SocketError("connect", errno) }
        return false
    }

    func awaitDecision(until deadline: Instant) throws {
        if descriptor >= FD_SETSIZE { throw SocketError("select", EMFILE) }
        while true {
            let left = max(0, deadline.nanoseconds - Instant.now.nanoseconds)
            var wait = timespec(tv_sec: left / 1_000_000_000, tv_nsec: left % 1_000_000_000)
            var set = fd_set()
            fdZero(&set)
            fdSet(descriptor, &set)
            switch pselect(descriptor + 1, nil, &set, nil, &wait, nil) {
            case 1...: return
            case 0: throw SocketError("connect", ETIMEDOUT)
            default:
                guard errno == EINTR else { throw SocketError("pselect", errno) }
                if left == 0 { throw SocketError("connect", ETIMEDOUT) }
            }
        }
    }

    func askDecision() throws {
        var outcome: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        guard getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &outcome, &length) == 0, outcome == 0 else {
            throw SocketError("connect", errno)
        }
    }

    func finish() throws -> Int32 {
        let flags = try check("fcntl", fcntl(descriptor, F_GETFL))
        try check("fcntl", fcntl(descriptor, F_SETFL, flags & ~O_NONBLOCK))
        return descriptor
    }

    func giveUp() { close(descriptor) }
}
