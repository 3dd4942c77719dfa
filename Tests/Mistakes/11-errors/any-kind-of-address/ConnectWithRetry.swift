import Course
import Sockets

/// One line of what getaddrinfo answered, just as socket(2) and connect(2) want it.
private struct Candidate {
    var family: Int32
    var kind: Int32
    var proto: Int32
    var address: SocketAddress
}

private func candidates(_ host: String, _ port: UInt16) throws -> [Candidate] {
    var wanted = addrinfo()
    wanted.ai_family = AF_UNSPEC
    wanted.ai_flags = AI_NUMERICSERV
    var list: UnsafeMutablePointer<addrinfo>?
    let code = getaddrinfo(host, "\(port)", &wanted, &list)
    if code != 0 { throw ResolveError(code: code) }
    defer { freeaddrinfo(list) }
    return sequence(first: list, next: { $0?.pointee.ai_next }).prefix { $0 != nil }.compactMap { node in
        guard let entry = node?.pointee else { return nil }
        let raw = UnsafeRawBufferPointer(start: entry.ai_addr, count: Int(entry.ai_addrlen))
        guard let address = SocketAddress(bytes: Array(raw)) else { return nil }
        return Candidate(
            family: entry.ai_family, kind: entry.ai_socktype, proto: entry.ai_protocol, address: address)
    }
}

private func clock() -> Int {
    var now = timespec()
    clock_gettime(CLOCK_MONOTONIC, &now)
    return Int(now.tv_sec) * 1_000 + Int(now.tv_nsec) / 1_000_000
}

private func open(_ candidate: Candidate, until end: Int) throws -> Int32 {
    let fd = socket(candidate.family, candidate.kind, candidate.proto)
    if fd == -1 { throw SocketError("socket", errno) }
    var keep = false
    defer { if !keep { close(fd) } }

    let flags = try check("fcntl", fcntl(fd, F_GETFL))
    try check("fcntl", fcntl(fd, F_SETFL, flags | O_NONBLOCK))
    let result = candidate.address.withSockaddr { connect(fd, $0, $1) }
    let code = errno
    if result == -1 {
        guard code == EINPROGRESS || code == EINTR else { throw SocketError("connect", code) }
        var entry = pollfd(fd: fd, events: Int16(POLLOUT), revents: 0)
        waiting: while true {
            let ready = poll(&entry, 1, Int32(clamping: max(0, end - clock())))
            if ready > 0 { break waiting }
            if ready == 0 { throw SocketError("connect", ETIMEDOUT) }
            if errno != EINTR { throw SocketError("poll", errno) }
        }
        var outcome: Int32 = 0
        var size = socklen_t(MemoryLayout.size(ofValue: outcome))
        try check("getsockopt", getsockopt(fd, SOL_SOCKET, SO_ERROR, &outcome, &size))
        if outcome != 0 { throw SocketError("connect", outcome) }
    }
    try check("fcntl", fcntl(fd, F_SETFL, flags))
    keep = true
    return fd
}

private func mayPass(_ error: any Error) -> Bool {
    if let error = error as? SocketError { return classify(code: error.code, isConnected: false) == .tryLater }
    if let error = error as? ResolveError { return error.code == EAI_AGAIN }
    return false
}

func connectWithRetry(
    host: String, port: UInt16, policy: RetryPolicy, sleep: (Milliseconds) -> Void
) throws -> Int32 {
    let end = clock() + min(policy.timeout, Int(Int32.max))
    var cap = min(policy.firstWait, policy.longestWait)
    for attempt in 1... {
        var failure: any Error = SocketError("getaddrinfo", EADDRNOTAVAIL)
        do {
            var worst: (any Error)?
            for candidate in try candidates(host, port) {
                do {
                    let limit = clock() + min(policy.connectTimeout, Int(Int32.max))
                    return try open(candidate, until: min(limit, end))
                } catch {
                    if worst == nil || !mayPass(worst!) { worst = error }
                }
            }
            if let worst { failure = worst }
        } catch {
            failure = error
        }
        guard mayPass(failure), attempt < policy.attempts else { throw failure }
        let pause = Int.random(in: (cap + 1) / 2...cap)
        guard pause < end - clock() else { throw failure }
        sleep(pause)
        cap = cap > policy.longestWait / 2 ? policy.longestWait : cap * 2
    }
    throw SocketError("connect", ETIMEDOUT)
}
