import Course
import Sockets

func connectWithRetry(
    host: String, port: UInt16, policy: RetryPolicy, sleep: (Milliseconds) -> Void
) throws -> Int32 {
    let deadline = Deadline(in: policy.timeout)
    var longest = min(policy.firstWait, policy.longestWait)
    var attempt = 1
    while true {
        do {
            return try connectToAny(host: host, port: port, timeout: policy.connectTimeout, before: deadline)
        } catch {
            guard isWorthRetrying(error), attempt < policy.attempts else { throw error }
            // At random, so that a thousand clients which a restart has thrown out do not come back in one moment; from half
            // upwards, so that none of them comes back at once.
            let wait = Int.random(in: longest / 2...longest)
            // What would come after the deadline need not be waited for.
            guard wait < deadline.left else { throw error }
            sleep(wait)
        }
        attempt += 1
        // Doubled, but never past the cap, and never past what an Int holds.
        longest = longest > policy.longestWait / 2 ? policy.longestWait : longest * 2
    }
}

private func isWorthRetrying(_ error: any Error) -> Bool {
    switch error {
    case let error as SocketError: return classify(code: error.code, isConnected: false) == .tryLater
    // The name server did not answer. All other codes are answers: there is no such name.
    case let error as ResolveError: return error.code == EAI_AGAIN
    default: return false
    }
}

/// One attempt: the first of the name's addresses that answers.
private func connectToAny(host: String, port: UInt16, timeout: Milliseconds, before deadline: Deadline) throws -> Int32
{
    var failure: SocketError?
    for address in try addresses(of: host, port: port) {
        do {
            return try connect(to: address, before: deadline.orEarlier(Deadline(in: timeout)))
        } catch let error as SocketError {
            // On a machine without IPv6 ::1 can never be reached; that must not hide that 127.0.0.1 may be, later.
            if let failure, isWorthRetrying(failure) { continue }
            failure = error
        }
    }
    throw failure ?? SocketError("getaddrinfo", EADDRNOTAVAIL)
}

private func addresses(of host: String, port: UInt16) throws -> [SocketAddress] {
    var hints = addrinfo()
    hints.ai_socktype = SOCK_STREAM
    var first: UnsafeMutablePointer<addrinfo>?
    let code = getaddrinfo(host, String(port), &hints, &first)
    guard code == 0 else { throw ResolveError(code: code) }
    var found: [SocketAddress] = []
    var next = first
    while let entry = next?.pointee {
        let bytes = UnsafeRawBufferPointer(start: entry.ai_addr, count: Int(entry.ai_addrlen))
        if let address = SocketAddress(bytes: Array(bytes)), !found.contains(address) { found.append(address) }
        next = entry.ai_next
    }
    return found
}

/// A socket of its own for each address and each attempt: POSIX leaves open what a socket is good for after a connect that
/// failed.
private func connect(to address: SocketAddress, before deadline: Deadline) throws -> Int32 {
    let connection = try check("socket", socket(address.family, SOCK_STREAM | SOCK_CLOEXEC, 0))
    do {
        let flags = try check("fcntl", fcntl(connection, F_GETFL))
        try check("fcntl", fcntl(connection, F_SETFL, flags | O_NONBLOCK))
        if address.withSockaddr({ Sockets.connect(connection, $0, $1) }) == -1 {
            // Begun, or interrupted, which is the same: the handshake goes on without us. A second connect would only say
            // EALREADY.
            let code = errno
            guard code == EINPROGRESS || code == EINTR else { throw SocketError("connect", code) }
            switch waitUntilReady(connection, for: Int32(POLLOUT), before: deadline) {
            case .ready: break
            case .late: throw SocketError("connect", ETIMEDOUT)
            case .failed(let code): throw SocketError("poll", code)
            }
            // Writable means decided, not connected.
            var decision: Int32 = 0
            var size = socklen_t(MemoryLayout<Int32>.size)
            try check("getsockopt", getsockopt(connection, SOL_SOCKET, SO_ERROR, &decision, &size))
            guard decision == 0 else { throw SocketError("connect", decision) }
        }
        try check("fcntl", fcntl(connection, F_SETFL, flags))
        return connection
    } catch {
        close(connection)
        throw error
    }
}
