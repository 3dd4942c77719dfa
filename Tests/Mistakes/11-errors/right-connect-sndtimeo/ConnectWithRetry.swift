import Course
import Sockets

/// connect(2) on a blocking socket, whose patience SO_SNDTIMEO limits (socket(7)): when it is over, EINPROGRESS.
func connectWithRetry(
    host: String, port: UInt16, policy: RetryPolicy, sleep: (Milliseconds) -> Void
) throws -> Int32 {
    let deadline = Deadline(in: policy.timeout)
    var attempt = 0
    while true {
        attempt += 1
        let failure: any Error
        do {
            return try attemptAll(host, port, policy, deadline)
        } catch {
            failure = error
        }
        guard attempt < policy.attempts, isPassing(failure) else { throw failure }
        let limit = waitLimit(policy, number: attempt)
        let wait = Int.random(in: (limit / 2)...limit)
        if wait >= deadline.left { throw failure }
        sleep(wait)
    }
}

/// firstWait · 2ⁿ⁻¹ for the wait with the number n, or the longest one, whichever is less.
private func waitLimit(_ policy: RetryPolicy, number: Int) -> Milliseconds {
    let shift = number - 1
    // Where shifting back does not lose anything, shifting forth did not overflow.
    if shift < Int.bitWidth - 1, policy.firstWait <= Int.max >> shift {
        return min(policy.firstWait << shift, policy.longestWait)
    }
    return policy.firstWait == 0 ? 0 : policy.longestWait
}

private func isPassing(_ error: any Error) -> Bool {
    if let error = error as? SocketError { return classify(code: error.code, isConnected: false) == .tryLater }
    return (error as? ResolveError)?.code == EAI_AGAIN
}

private func attemptAll(_ host: String, _ port: UInt16, _ policy: RetryPolicy, _ deadline: Deadline) throws -> Int32 {
    var hints = addrinfo()
    hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    var list: UnsafeMutablePointer<addrinfo>?
    let code = getaddrinfo(host, String(port), &hints, &list)
    guard code == 0 else { throw ResolveError(code: code) }
    defer { freeaddrinfo(list) }

    var errors: [SocketError] = []
    var next = list
    while let info = next {
        do {
            return try open(info.pointee, before: deadline.orEarlier(Deadline(in: policy.connectTimeout)))
        } catch let error as SocketError {
            errors.append(error)
        }
        next = info.pointee.ai_next
    }
    throw errors.first(where: isPassing) ?? errors.last ?? SocketError("getaddrinfo", EADDRNOTAVAIL)
}

private func open(_ info: addrinfo, before deadline: Deadline) throws -> Int32 {
    let descriptor = try check("socket", socket(info.ai_family, info.ai_socktype, info.ai_protocol))
    do {
        try limitSending(descriptor, to: max(1, deadline.left))
        if connect(descriptor, info.ai_addr, info.ai_addrlen) == -1 {
            let code = errno
            // Interrupted or over: the handshake goes on without us, for as long as there is time.
            guard code == EINTR || code == EINPROGRESS else { throw SocketError("connect", code) }
            try awaitDecision(descriptor, before: deadline)
        }
        // As it was: without a limit.
        try limitSending(descriptor, to: 0)
        return descriptor
    } catch {
        close(descriptor)
        throw error
    }
}

private func limitSending(_ descriptor: Int32, to limit: Milliseconds) throws {
    var time = timeval(tv_sec: limit / 1000, tv_usec: limit % 1000 * 1000)
    try check(
        "setsockopt(SO_SNDTIMEO)",
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &time, socklen_t(MemoryLayout<timeval>.size)))
}

private func awaitDecision(_ descriptor: Int32, before deadline: Deadline) throws {
    switch waitUntilReady(descriptor, for: Int32(POLLOUT), before: deadline) {
    case .failed(let code): throw SocketError("poll", code)
    case .late: throw SocketError("connect", ETIMEDOUT)
    case .ready: break
    }
    var decision: Int32 = 0
    var size = socklen_t(MemoryLayout<Int32>.size)
    try check("getsockopt", getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &decision, &size))
    if decision != 0 { throw SocketError("connect", decision) }
}
