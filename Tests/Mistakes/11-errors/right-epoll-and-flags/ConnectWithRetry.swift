import Course
import Sockets

func connectWithRetry(
    host: String, port: UInt16, policy: RetryPolicy, sleep: (Milliseconds) -> Void
) throws -> Int32 {
    try attempt(1, policy.firstWait, host, port, policy, Clock(policy.timeout), sleep)
}

private func attempt(
    _ number: Int, _ limit: Int, _ host: String, _ port: UInt16, _ policy: RetryPolicy, _ clock: Clock,
    _ sleep: (Milliseconds) -> Void
) throws -> Int32 {
    let limit = min(limit, policy.longestWait)
    let failure: any Error
    switch once(host, port, policy, clock) {
    case .success(let connection): return connection
    case .failure(let error): failure = error
    }
    let isPassing: Bool
    if let error = failure as? ResolveError {
        isPassing = error.code == EAI_AGAIN
    } else {
        isPassing = classify(code: (failure as! SocketError).code, isConnected: false) == .tryLater
    }
    let wait = limit - Int.random(in: 0...limit / 2)
    guard isPassing, number < policy.attempts, wait < Int(clock.left) else { throw failure }
    sleep(wait)
    return try attempt(number + 1, limit * 2, host, port, policy, clock, sleep)
}

private func once(_ host: String, _ port: UInt16, _ policy: RetryPolicy, _ clock: Clock) -> Result<Int32, any Error> {
    var hints = addrinfo()
    hints.ai_socktype = SOCK_STREAM
    var list: UnsafeMutablePointer<addrinfo>?
    let code = getaddrinfo(host, String(port), &hints, &list)
    guard code == 0 else { return .failure(ResolveError(code: code)) }
    defer { freeaddrinfo(list) }
    var result: Result<Int32, any Error> = .failure(SocketError("connect", EADDRNOTAVAIL))
    var next = list
    while let entry = next {
        let connection = socket(entry.pointee.ai_family, SOCK_STREAM, 0)
        let code = connection < 0 ? errno : reach(connection, entry.pointee, policy, clock)
        if code == 0 { return .success(connection) }
        if connection >= 0 { close(connection) }
        if case .failure(let old as SocketError) = result,
            classify(code: old.code, isConnected: false) != .tryLater
        {
            result = .failure(SocketError(connection < 0 ? "socket" : "connect", code))
        }
        next = entry.pointee.ai_next
    }
    return result
}

private func reach(_ connection: Int32, _ entry: addrinfo, _ policy: RetryPolicy, _ clock: Clock) -> Int32 {
    do {
        return try withoutBlocking(connection) {
            if connect(connection, entry.ai_addr, entry.ai_addrlen) == 0 { return 0 }
            guard errno == EINPROGRESS else { return errno }
            let own = Clock(min(policy.connectTimeout, Int(clock.left)))
            guard try ready(connection, EPOLLOUT.rawValue, own) else { return ETIMEDOUT }
            var code: Int32 = 0
            var size = socklen_t(MemoryLayout<Int32>.size)
            try check("getsockopt", getsockopt(connection, SOL_SOCKET, SO_ERROR, &code, &size))
            return code
        }
    } catch { return (error as? SocketError)?.code ?? EINVAL }
}
