import Course
import Sockets

func connectWithRetry(
    host: String, port: UInt16, policy: RetryPolicy, sleep: (Milliseconds) -> Void
) throws -> Int32 {
    let deadline = Deadline(in: policy.timeout)
    var cap = min(policy.firstWait, policy.longestWait)
    for attempt in 1... {
        let problem: any Error
        var again = false
        do {
            let found = try lookUp(host, port)
            var errors: [SocketError] = []
            for address in found {
                do {
                    return try open(address, until: deadline.orEarlier(Deadline(in: policy.connectTimeout)))
                } catch let error as SocketError {
                    errors.append(error)
                }
            }
            let temporary = errors.first { classify(code: $0.code, isConnected: false) == .tryLater }
            again = temporary != nil
            problem = temporary ?? errors.last ?? SocketError("connect", EADDRNOTAVAIL)
        } catch let error as ResolveError {
            again = error.code == EAI_AGAIN
            problem = error
        }
        guard again, attempt < policy.attempts else { throw problem }
        let wait = Int.random(in: cap / 2...cap)
        guard wait < deadline.left else { throw problem }
        sleep(wait)
        cap = cap > policy.longestWait / 2 ? policy.longestWait : cap * 2
    }
    throw SocketError("connect", ETIMEDOUT)
}

private func lookUp(_ host: String, _ port: UInt16) throws -> [SocketAddress] {
    var hints = addrinfo()
    hints.ai_socktype = SOCK_STREAM
    var list: UnsafeMutablePointer<addrinfo>?
    let code = getaddrinfo(host, "\(port)", &hints, &list)
    if code != 0 { throw ResolveError(code: code) }
    defer { freeaddrinfo(list) }
    return sequence(first: list, next: { $0?.pointee.ai_next }).prefix { $0 != nil }.compactMap { entry in
        let info = entry!.pointee
        return SocketAddress(bytes: Array(UnsafeRawBufferPointer(start: info.ai_addr, count: Int(info.ai_addrlen))))
    }
}

private func open(_ address: SocketAddress, until deadline: Deadline) throws -> Int32 {
    let fd = try check("socket", socket(address.family, SOCK_STREAM | SOCK_NONBLOCK, 0))
    if address.withSockaddr({ Sockets.connect(fd, $0, $1) }) < 0 {
        let code = errno
        if code != EINPROGRESS && code != EINTR {
            close(fd)
            throw SocketError("connect", code)
        }
        switch waitUntilReady(fd, for: Int32(POLLOUT), before: deadline) {
        case .late: throw SocketError("connect", ETIMEDOUT)
        case .failed(let code): throw SocketError("poll", code)
        case .ready: break
        }
        var result: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &result, &length)
        if result != 0 {
            close(fd)
            throw SocketError("connect", result)
        }
    }
    let flags = fcntl(fd, F_GETFL)
    _ = fcntl(fd, F_SETFL, flags & ~O_NONBLOCK)
    return fd
}
