import Course
import Sockets

/// How long to wait after a failure, and when to stop.
private struct Backoff {
    let policy: RetryPolicy
    let end: Int
    var failures = 0

    init(_ policy: RetryPolicy) {
        self.policy = policy
        end = Backoff.now + Backoff.nanoseconds(policy.timeout)
    }

    static var now: Int {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return time.tv_sec * 1_000_000_000 + time.tv_nsec
    }

    static func nanoseconds(_ time: Milliseconds) -> Int { min(max(0, time), 1_000_000_000) * 1_000_000 }

    /// nil: no further attempt is allowed.
    mutating func next() -> Milliseconds? {
        failures += 1
        guard failures < policy.attempts else { return nil }
        // 2 to the power of 6 at most, so that nothing overflows however many attempts there are.
        let power = min(failures - 1, 6)
        let limit = min(policy.firstWait << power, policy.longestWait)
        let wait = Int.random(in: limit / 2...limit)
        return Backoff.now + Backoff.nanoseconds(wait) < end ? wait : nil
    }
}

func connectWithRetry(
    host: String, port: UInt16, policy: RetryPolicy, sleep: (Milliseconds) -> Void
) throws -> Int32 {
    var backoff = Backoff(policy)
    while true {
        switch try attempt(host, port, policy.connectTimeout, backoff.end) {
        case .success(let descriptor):
            return descriptor
        case .failure(let error):
            guard let wait = backoff.next() else { throw error }
            sleep(wait)
        }
    }
}

/// Throws what is not worth another attempt.
private func attempt(
    _ host: String, _ port: UInt16, _ connectTimeout: Milliseconds, _ end: Int
) throws -> Result<Int32, any Error> {
    var hints = addrinfo()
    hints.ai_socktype = SOCK_STREAM
    hints.ai_flags = Int32(AI_NUMERICSERV)
    var head: UnsafeMutablePointer<addrinfo>?
    let code = getaddrinfo(host, String(port), &hints, &head)
    if code == EAI_AGAIN { return .failure(ResolveError(code: code)) }
    guard code == 0, let head else { throw ResolveError(code: code) }
    defer { freeaddrinfo(head) }

    var passing: SocketError?
    var lasting: SocketError?
    for entry in sequence(first: head, next: { $0.pointee.ai_next }) {
        let limit = min(end, Backoff.now + Backoff.nanoseconds(connectTimeout))
        let (descriptor, error) = open(entry.pointee, limit)
        guard let error else { return .success(descriptor) }
        if classify(code: error.code, isConnected: false) == .tryLater { passing = error } else { lasting = error }
    }
    if let passing { return .failure(passing) }
    throw lasting ?? SocketError("getaddrinfo", EADDRNOTAVAIL)
}

private func open(_ entry: addrinfo, _ limit: Int) -> (Int32, SocketError?) {
    let descriptor = socket(entry.ai_family, entry.ai_socktype, entry.ai_protocol)
    guard descriptor >= 0 else { return (-1, SocketError("socket", errno)) }
    if let error = establish(descriptor, entry, limit) {
        close(descriptor)
        return (-1, error)
    }
    return (descriptor, nil)
}

private func establish(_ descriptor: Int32, _ entry: addrinfo, _ limit: Int) -> SocketError? {
    let flags = fcntl(descriptor, F_GETFL)
    if flags == -1 { return SocketError("fcntl", errno) }
    if fcntl(descriptor, F_SETFL, flags | O_NONBLOCK) == -1 { return SocketError("fcntl", errno) }

    if Sockets.connect(descriptor, entry.ai_addr, entry.ai_addrlen) != 0 {
        let code = errno
        guard [EINPROGRESS, EINTR].contains(code) else { return SocketError("connect", code) }
        var entry = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        waiting: while true {
            let left = max(0, limit - Backoff.now)
            switch poll(&entry, 1, Int32((left + 999_999) / 1_000_000)) {
            case 0: return SocketError("connect", ETIMEDOUT)
            case -1:
                let code = errno
                guard code == EINTR else { return SocketError("poll", code) }
            default: break waiting
            }
        }
        var verdict: Int32 = 0
        var size = socklen_t(4)
        if getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &verdict, &size) == -1 {
            return SocketError("getsockopt", errno)
        }
        if verdict != 0 { return SocketError("connect", verdict) }
    }

    if fcntl(descriptor, F_SETFL, flags) == -1 { return SocketError("fcntl", errno) }
    return nil
}
