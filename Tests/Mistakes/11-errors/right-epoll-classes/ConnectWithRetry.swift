import Course
import Sockets

func connectWithRetry(
    host: String, port: UInt16, policy: RetryPolicy, sleep: (Milliseconds) -> Void
) throws -> Int32 {
    try Connector(host: host, port: port, policy: policy).run(sleep)
}

private final class Connector {
    private let host: String
    private let port: UInt16
    private let policy: RetryPolicy
    private let countdown: Countdown

    init(host: String, port: UInt16, policy: RetryPolicy) {
        (self.host, self.port, self.policy) = (host, port, policy)
        countdown = Countdown(policy.timeout)
    }

    func run(_ sleep: (Milliseconds) -> Void) throws -> Int32 {
        for wait in waits() {
            do { return try attempt() } catch  where isTemporary(error) {
                guard wait < Int(countdown.milliseconds) else { throw error }
                sleep(wait)
            }
        }
        return try attempt()
    }

    /// One fewer than there are attempts. Drawn when they are asked for, from a bound that doubles up to the longest.
    private func waits() -> some Sequence<Milliseconds> {
        var bound = Double(policy.firstWait)
        let longest = Double(policy.longestWait)
        return (1..<max(1, policy.attempts)).lazy.map { _ in
            bound = min(bound, longest)
            let wait = bound * Double.random(in: 0.5...1)
            bound *= 2
            return Int(min(wait, 1e12).rounded(.up))
        }
    }

    private func isTemporary(_ error: any Error) -> Bool {
        if let error = error as? ResolveError { return error.code == EAI_AGAIN }
        guard let error = error as? SocketError else { return false }
        return (try? classify(code: error.code, isConnected: false)) == .tryLater
    }

    private func attempt() throws -> Int32 {
        var errors: [any Error] = []
        for address in try addresses() {
            do { return try Connection(address).establish(Countdown(policy.connectTimeout, within: countdown)) } catch {
                errors.append(error)
            }
        }
        throw errors.first(where: isTemporary) ?? errors.last ?? ResolveError(code: EAI_NONAME)
    }

    private func addresses() throws -> [SocketAddress] {
        var hints = addrinfo()
        hints.ai_socktype = SOCK_STREAM
        hints.ai_protocol = Int32(IPPROTO_TCP)
        var list: UnsafeMutablePointer<addrinfo>?
        let code = getaddrinfo(host, "\(port)", &hints, &list)
        guard code == 0, let list else { throw ResolveError(code: code) }
        defer { freeaddrinfo(list) }
        return sequence(first: list) { $0.pointee.ai_next }.compactMap {
            SocketAddress(
                bytes: Array(UnsafeRawBufferPointer(start: $0.pointee.ai_addr, count: Int($0.pointee.ai_addrlen))))
        }
    }
}

/// Owns its descriptor until it gives it away: whatever happens before, deinit closes it.
private final class Connection {
    private let address: SocketAddress
    private var descriptor: Int32

    init(_ address: SocketAddress) throws {
        self.address = address
        descriptor = try check("socket", socket(address.family, SOCK_STREAM | SOCK_CLOEXEC, 0))
    }

    deinit {
        if descriptor >= 0 { close(descriptor) }
    }

    func establish(_ countdown: Countdown) throws -> Int32 {
        let flags = try check("fcntl", fcntl(descriptor, F_GETFL))
        try check("fcntl", fcntl(descriptor, F_SETFL, flags | O_NONBLOCK))
        let result = address.withSockaddr { Sockets.connect(descriptor, $0, $1) }
        if result == -1 {
            let code = errno
            guard code == EINPROGRESS || code == EINTR else { throw SocketError("connect", code) }
            try waitForVerdict(countdown)
        }
        try check("fcntl", fcntl(descriptor, F_SETFL, flags))
        defer { descriptor = -1 }
        return descriptor
    }

    private func waitForVerdict(_ countdown: Countdown) throws {
        let poller = try check("epoll_create1", epoll_create1(Int32(EPOLL_CLOEXEC)))
        defer { close(poller) }
        var event = epoll_event(events: EPOLLOUT.rawValue, data: epoll_data_t(fd: descriptor))
        try check("epoll_ctl", epoll_ctl(poller, EPOLL_CTL_ADD, descriptor, &event))
        var count: Int32 = -1
        while count < 0 {
            let left = countdown.milliseconds
            count = epoll_wait(poller, &event, 1, left)
            if count < 0 && errno != EINTR { throw SocketError("epoll_wait", errno) }
            if count == 0 || (count < 0 && left == 0) { throw SocketError("connect", ETIMEDOUT) }
        }
        var code: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        try check("getsockopt", getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &size))
        if code != 0 { throw SocketError("connect", code) }
    }
}
