import Course
import Sockets

/// Where a call of connectWithRetry is.
private enum Phase {
    case lookingUp
    case trying([SocketAddress], failures: [SocketError])
    case failed(any Error, mayPass: Bool)
}

/// The waits between the attempts, and how many there are.
private struct BackOff: IteratorProtocol {
    var remaining: Int
    var bound: Int
    let longest: Int

    mutating func next() -> Milliseconds? {
        guard remaining > 0 else { return nil }
        remaining -= 1
        bound = min(bound, longest)
        defer { bound = bound > longest / 2 ? longest : 2 * bound }
        // From above: the whole of it, less at most a half.
        return bound - Int.random(in: 0...bound / 2)
    }
}

func connectWithRetry(
    host: String, port: UInt16, policy: RetryPolicy, sleep: (Milliseconds) -> Void
) throws -> Int32 {
    let end = pointInTime(after: policy.timeout)
    var waits = BackOff(remaining: policy.attempts - 1, bound: policy.firstWait, longest: policy.longestWait)
    var phase = Phase.lookingUp
    while true {
        switch phase {
        case .lookingUp:
            switch lookUp(host, port) {
            case .success(let addresses): phase = .trying(addresses, failures: [])
            case .failure(let error): phase = .failed(error, mayPass: error.code == EAI_AGAIN)
            }

        case .trying(let addresses, let failures):
            if let address = addresses.first {
                switch tryOnce(address, until: min(end, pointInTime(after: policy.connectTimeout))) {
                case .success(let descriptor): return descriptor
                case .failure(let error): phase = .trying(Array(addresses.dropFirst()), failures: failures + [error])
                }
            } else {
                let passing = failures.first { classify(code: $0.code, isConnected: false) == .tryLater }
                phase = .failed(
                    passing ?? failures.last ?? SocketError("getaddrinfo", EADDRNOTAVAIL), mayPass: passing != nil)
            }

        case .failed(let error, let mayPass):
            guard mayPass, let wait = waits.next(), wait < Int(left(until: end)) else { throw error }
            sleep(wait)
            phase = .lookingUp
        }
    }
}

private func lookUp(_ host: String, _ port: UInt16) -> Result<[SocketAddress], ResolveError> {
    var hints = addrinfo()
    hints.ai_socktype = SOCK_STREAM
    var head: UnsafeMutablePointer<addrinfo>?
    let code = getaddrinfo(host, "\(port)", &hints, &head)
    guard code == 0 else { return .failure(ResolveError(code: code)) }
    defer { freeaddrinfo(head) }
    var addresses: [SocketAddress] = []
    var entry = head
    while let info = entry {
        let memory = UnsafeRawBufferPointer(start: info.pointee.ai_addr, count: Int(info.pointee.ai_addrlen))
        if let address = SocketAddress(bytes: [UInt8](memory)) { addresses.append(address) }
        entry = info.pointee.ai_next
    }
    return .success(addresses)
}

private func tryOnce(_ address: SocketAddress, until end: UInt64) -> Result<Int32, SocketError> {
    let descriptor = socket(address.family, SOCK_STREAM, 0)
    if descriptor < 0 { return .failure(SocketError("socket", errno)) }
    func give(up call: String, _ code: Int32) -> Result<Int32, SocketError> {
        close(descriptor)
        return .failure(SocketError(call, code))
    }

    let flags = fcntl(descriptor, F_GETFL)
    if flags < 0 || fcntl(descriptor, F_SETFL, flags | O_NONBLOCK) < 0 { return give(up: "fcntl", errno) }
    if address.withSockaddr({ connect(descriptor, $0, $1) }) < 0 {
        if errno != EINPROGRESS && errno != EINTR { return give(up: "connect", errno) }
        // Decided? A socket that is still connecting has no error and no peer, so poll has to have said "ready".
        var isDecided = false
        while !isDecided {
            let time = left(until: end)
            var entry = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
            let count = poll(&entry, 1, time)
            if count < 0 && errno != EINTR { return give(up: "poll", errno) }
            isDecided = count > 0
            if !isDecided && (count == 0 || time == 0) { return give(up: "connect", ETIMEDOUT) }
        }
        var verdict: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        if getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &verdict, &size) < 0 { return give(up: "getsockopt", errno) }
        if verdict != 0 { return give(up: "connect", verdict) }
    }
    if fcntl(descriptor, F_SETFL, flags) < 0 { return give(up: "fcntl", errno) }
    return .success(descriptor)
}
