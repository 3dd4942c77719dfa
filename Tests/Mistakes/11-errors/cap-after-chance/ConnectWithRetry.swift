import Course
import Dispatch
import Sockets

/// A client in one big class: the state is in its properties.
private final class Connector {
    let host: String
    let port: UInt16
    let policy: RetryPolicy
    let end: DispatchTime

    init(_ host: String, _ port: UInt16, _ policy: RetryPolicy) {
        self.host = host
        self.port = port
        self.policy = policy
        end = .now() + .milliseconds(policy.timeout)
    }

    var left: Int {
        let now = DispatchTime.now().uptimeNanoseconds
        return now >= end.uptimeNanoseconds ? 0 : Int((end.uptimeNanoseconds - now + 999_999) / 1_000_000)
    }

    func run(_ sleep: (Milliseconds) -> Void) throws -> Int32 {
        var cap = min(policy.firstWait, policy.longestWait)
        var number = 1
        while true {
            let failure: Error
            do {
                return try attempt()
            } catch {
                failure = error
            }
            if number == policy.attempts || !isWorthIt(failure) { throw failure }
            let wait = min(Int.random(in: cap / 2...cap), policy.longestWait)
            if wait >= left { throw failure }
            sleep(wait)
            cap = cap > 1 << 40 ? cap : cap * 2
            number += 1
        }
    }

    func isWorthIt(_ error: Error) -> Bool {
        switch error {
        case let error as ResolveError: return error.code == EAI_AGAIN
        case let error as SocketError:
            return (try? classify(code: error.code, isConnected: false)) == .tryLater
        default: return false
        }
    }

    func attempt() throws -> Int32 {
        var hints = addrinfo()
        hints.ai_socktype = SOCK_STREAM
        hints.ai_family = AF_UNSPEC
        var list: UnsafeMutablePointer<addrinfo>?
        let code = getaddrinfo(host, String(port), &hints, &list)
        if code != 0 { throw ResolveError(code: code) }
        defer { freeaddrinfo(list) }
        var failures: [SocketError] = []
        var next = list
        while let info = next {
            if left == 0 {
                failures.append(SocketError("connect", ETIMEDOUT))
                break
            }
            do {
                return try one(info.pointee)
            } catch let error as SocketError {
                failures.append(error)
            }
            next = info.pointee.ai_next
        }
        if let worth = failures.first(where: { isWorthIt($0) }) { throw worth }
        throw failures[failures.count - 1]
    }

    func one(_ info: addrinfo) throws -> Int32 {
        let descriptor = try check(
            "socket", socket(info.ai_family, SOCK_STREAM | Int32(SOCK_NONBLOCK.rawValue), info.ai_protocol))
        do {
            if connect(descriptor, info.ai_addr, info.ai_addrlen) == -1 {
                if errno != EINPROGRESS && errno != EINTR { throw SocketError("connect", errno) }
                try awaitConnected(descriptor)
            }
            let flags = try check("fcntl", fcntl(descriptor, F_GETFL))
            try check("fcntl", fcntl(descriptor, F_SETFL, flags & ~O_NONBLOCK))
            return descriptor
        } catch {
            close(descriptor)
            throw error
        }
    }

    func awaitConnected(_ descriptor: Int32) throws {
        let watcher = try check("epoll_create1", epoll_create1(0))
        defer { close(watcher) }
        var wanted = epoll_event(events: EPOLLOUT.rawValue, data: epoll_data_t(fd: descriptor))
        try check("epoll_ctl", epoll_ctl(watcher, EPOLL_CTL_ADD, descriptor, &wanted))
        let until = DispatchTime.now() + .milliseconds(min(policy.connectTimeout, left))
        while true {
            let now = DispatchTime.now()
            let rest = until > now ? Int32((until.uptimeNanoseconds - now.uptimeNanoseconds + 999_999) / 1_000_000) : 0
            var happened = epoll_event()
            let count = epoll_wait(watcher, &happened, 1, rest)
            if count == 1 { break }
            if count == -1 && errno != EINTR { throw SocketError("epoll_wait", errno) }
            if count == 0 { throw SocketError("connect", ETIMEDOUT) }
            if rest == 0 { throw SocketError("connect", ETIMEDOUT) }
        }
        var code: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        try check("getsockopt", getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &size))
        if code != 0 { throw SocketError("connect", code) }
    }
}

func connectWithRetry(
    host: String, port: UInt16, policy: RetryPolicy, sleep: (Milliseconds) -> Void
) throws -> Int32 {
    try Connector(host, port, policy).run(sleep)
}
