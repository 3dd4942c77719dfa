import Course
import Sockets

func connectWithRetry(
    host: String, port: UInt16, policy: RetryPolicy, sleep: (Milliseconds) -> Void
) throws -> Int32 {
    let end = milliseconds() + policy.timeout
    var addresses: [SocketAddress] = []
    for attempt in 1...max(1, policy.attempts) {
        let failure: any Error
        do {
            if addresses.isEmpty { addresses = try lookUp(host, port) }
            return try tryAll(addresses, policy.connectTimeout, end)
        } catch let error as SocketError where classify(code: error.code, isConnected: false) == .tryLater {
            failure = error
        } catch let error as ResolveError where error.code == EAI_AGAIN {
            failure = error
        }
        var limit = Double(policy.firstWait)
        for _ in 1..<attempt where limit < Double(policy.longestWait) { limit *= 2 }
        limit = min(limit, Double(policy.longestWait))
        let wait = Int(Double.random(in: limit / 2...limit))
        if attempt >= policy.attempts || milliseconds() + wait >= end { throw failure }
        sleep(wait)
    }
    throw SocketError("connect", ETIMEDOUT)
}

private func tryAll(_ addresses: [SocketAddress], _ timeout: Int, _ end: Int) throws -> Int32 {
    var errors: [SocketError] = []
    for address in addresses {
        do { return try tryOne(address, min(end, milliseconds() + timeout)) } catch let error as SocketError {
            errors.append(error)
        }
    }
    throw errors.first { classify(code: $0.code, isConnected: false) == .tryLater } ?? errors[0]
}

private func tryOne(_ address: SocketAddress, _ end: Int) throws -> Int32 {
    let connection = try check("socket", socket(address.family, SOCK_STREAM | SOCK_NONBLOCK, 0))
    var isDone = false
    defer { if !isDone { close(connection) } }
    if address.withSockaddr({ connect(connection, $0, $1) }) != 0 {
        if errno != EINPROGRESS { throw SocketError("connect", errno) }
        guard isReady(connection, toWrite: true, before: end) else { throw SocketError("connect", ETIMEDOUT) }
        var code: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        try check("getsockopt", getsockopt(connection, SOL_SOCKET, SO_ERROR, &code, &size))
        if code != 0 { throw SocketError("connect", code) }
    }
    var off: Int32 = 0
    try check("ioctl", ioctl(connection, UInt(FIONBIO), &off))
    isDone = true
    return connection
}

private func lookUp(_ host: String, _ port: UInt16) throws -> [SocketAddress] {
    var hints = addrinfo()
    hints.ai_socktype = SOCK_STREAM
    hints.ai_flags = AI_NUMERICSERV
    var list: UnsafeMutablePointer<addrinfo>?
    let code = getaddrinfo(host, "\(port)", &hints, &list)
    if code != 0 { throw ResolveError(code: code) }
    defer { freeaddrinfo(list) }
    return sequence(first: list!, next: { $0.pointee.ai_next }).compactMap {
        SocketAddress(
            bytes: Array(UnsafeRawBufferPointer(start: $0.pointee.ai_addr, count: Int($0.pointee.ai_addrlen))))
    }
}
