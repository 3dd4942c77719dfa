import Course
import Sockets

func connectWithRetry(
    host: String, port: UInt16, policy: RetryPolicy, sleep: (Milliseconds) -> Void
) throws -> Int32 {
    let clock = SuspendingClock()
    let deadline = clock.now + .milliseconds(policy.timeout)
    var ceiling = min(policy.firstWait, policy.longestWait)

    for number in 1...max(1, policy.attempts) {
        let attempt = Attempt(limit: min(deadline, clock.now + .milliseconds(policy.connectTimeout)))
        do {
            return try attempt.run(host, port)
        } catch let error where attempt.mayBeRepeated(error) && number < policy.attempts {
            let wait = Int.random(in: (ceiling + 1) / 2...max(ceiling, 0))
            guard clock.now + .milliseconds(wait) < deadline else { throw error }
            sleep(wait)
            ceiling = min(ceiling, policy.longestWait / 2 + 1) * 2
            ceiling = min(ceiling, policy.longestWait)
        }
    }
    throw SocketError("connect", ETIMEDOUT)
}

/// One attempt: all the addresses of the name.
private struct Attempt {
    let limit: SuspendingClock.Instant

    func mayBeRepeated(_ error: any Error) -> Bool {
        if let error = error as? SocketError { return classify(code: error.code, isConnected: false) == .tryLater }
        if let error = error as? ResolveError { return error.code == EAI_AGAIN }
        return false
    }

    /// Milliseconds for poll, rounded up.
    private var left: Int32 {
        let (seconds, attoseconds) = (limit - SuspendingClock().now).components
        let milliseconds = seconds * 1000 + (attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000
        return Int32(min(max(milliseconds, 0), Int64(Int32.max)))
    }

    func run(_ host: String, _ port: UInt16) throws -> Int32 {
        var verdict = SocketError("connect", ETIMEDOUT)
        var isFirst = true
        for address in try lookUp(host, port) {
            do {
                return try reach(address)
            } catch let error as SocketError {
                if isFirst || !mayBeRepeated(verdict) { verdict = error }
                isFirst = false
            }
        }
        throw verdict
    }

    private func lookUp(_ host: String, _ port: UInt16) throws -> [SocketAddress] {
        var hints = addrinfo()
        hints.ai_socktype = SOCK_STREAM
        var list: UnsafeMutablePointer<addrinfo>?
        let code = getaddrinfo(host, String(port), &hints, &list)
        guard code == 0 else { throw ResolveError(code: code) }
        defer { freeaddrinfo(list) }
        return sequence(first: list) { $0?.pointee.ai_next }.prefix { $0 != nil }.compactMap { node in
            guard let info = node?.pointee, let address = info.ai_addr else { return nil }
            return SocketAddress(bytes: [UInt8](UnsafeRawBufferPointer(start: address, count: Int(info.ai_addrlen))))
        }
    }

    private func reach(_ address: SocketAddress) throws -> Int32 {
        let descriptor = try check("socket", socket(address.family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0))
        do {
            let result = address.withSockaddr { Sockets.connect(descriptor, $0, $1) }
            let code = result == 0 ? 0 : errno
            if code == EINPROGRESS || code == EINTR {
                try awaitDecision(descriptor)
            } else if code != 0 {
                throw SocketError("connect", code)
            }
            let flags = try check("fcntl", fcntl(descriptor, F_GETFL))
            try check("fcntl", fcntl(descriptor, F_SETFL, flags & ~O_NONBLOCK))
            return descriptor
        } catch {
            close(descriptor)
            throw error
        }
    }

    private func awaitDecision(_ descriptor: Int32) throws {
        var entry = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        var ready: Int32
        var code: Int32
        repeat {
            ready = poll(&entry, 1, left)
            code = errno
        } while ready == -1 && code == EINTR
        if ready == -1 { throw SocketError("poll", code) }
        if ready == 0 { throw SocketError("connect", ETIMEDOUT) }
        var decision: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        try check("getsockopt", getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &decision, &size))
        if decision != 0 { throw SocketError("connect", decision) }
    }
}
