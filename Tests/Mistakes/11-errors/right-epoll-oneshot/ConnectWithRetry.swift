import Course
import Sockets

func connectWithRetry(
    host: String, port: UInt16, policy: RetryPolicy, sleep: (Milliseconds) -> Void
) throws -> Int32 {
    let connector = Connector(host: host, port: port, policy: policy)
    while true {
        switch connector.attempt() {
        case .connected(let descriptor): return descriptor
        case .hopeless(let error): throw error
        case .notNow(let error):
            guard let wait = connector.nextWait() else { throw error }
            sleep(wait)
            // Slept too long: no attempt after the end.
            if connector.isOver { throw error }
        }
    }
}

private final class Connector {
    enum Step {
        case connected(Int32)
        case notNow(any Error)
        case hopeless(any Error)
    }

    private let host: String
    private let service: String
    private let policy: RetryPolicy
    private let end: Moment
    private var attemptsLeft: Int
    private var limit: Milliseconds

    init(host: String, port: UInt16, policy: RetryPolicy) {
        self.host = host
        service = "\(port)"
        self.policy = policy
        end = Moment.now.after(policy.timeout)
        attemptsLeft = policy.attempts
        limit = max(0, min(policy.firstWait, policy.longestWait))
    }

    var isOver: Bool { end.left == 0 }

    /// nil: give up.
    func nextWait() -> Milliseconds? {
        guard attemptsLeft > 0 else { return nil }
        let wait = Int.random(in: limit - limit / 2...limit)
        // Grow by itself, or up to the cap, whichever is less: no sum is ever larger than the cap.
        limit += min(limit, max(0, policy.longestWait - limit))
        return Moment.now.after(wait) < end ? wait : nil
    }

    func attempt() -> Step {
        attemptsLeft -= 1

        var hints = addrinfo()
        hints.ai_family = AF_UNSPEC
        hints.ai_socktype = SOCK_STREAM
        hints.ai_protocol = IPPROTO_TCP
        var list: UnsafeMutablePointer<addrinfo>?
        let answer = getaddrinfo(host, service, &hints, &list)
        guard answer == 0 else {
            let error = ResolveError(code: answer)
            return answer == EAI_AGAIN ? .notNow(error) : .hopeless(error)
        }
        defer { freeaddrinfo(list) }

        var temporary: SocketError?
        var permanent: SocketError?
        var node = list
        while let info = node?.pointee {
            node = info.ai_next
            do {
                return .connected(try reach(info))
            } catch {
                if classify(code: error.code, isConnected: false) == .tryLater {
                    temporary = error
                } else {
                    permanent = permanent ?? error
                }
            }
        }
        if let temporary { return .notNow(temporary) }
        return .hopeless(permanent ?? SocketError("getaddrinfo", EADDRNOTAVAIL))
    }

    private func reach(_ info: addrinfo) throws(SocketError) -> Int32 {
        let descriptor = socket(info.ai_family, info.ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, info.ai_protocol)
        guard descriptor != -1 else { throw SocketError("socket", errno) }
        do throws(SocketError) {
            try establish(descriptor, info)
            try makeBlocking(descriptor)
        } catch {
            close(descriptor)
            throw error
        }
        return descriptor
    }

    private func establish(_ descriptor: Int32, _ info: addrinfo) throws(SocketError) {
        let watch = ReadinessWatch(
            descriptor, forWriting: true, until: min(end, Moment.now.after(policy.connectTimeout)))
        defer { watch.dispose() }
        if Sockets.connect(descriptor, info.ai_addr, info.ai_addrlen) == 0 { return }
        let code = errno
        guard code == EINPROGRESS || code == EINTR else { throw SocketError("connect", code) }

        switch watch.wait() {
        case .late: throw SocketError("connect", ETIMEDOUT)
        case .failed(let code): throw SocketError("epoll_wait", code)
        case .ready: break
        }
        var verdict: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        if getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &verdict, &size) == -1 {
            throw SocketError("getsockopt", errno)
        }
        if verdict != 0 { throw SocketError("connect", verdict) }
    }

    private func makeBlocking(_ descriptor: Int32) throws(SocketError) {
        let flags = fcntl(descriptor, F_GETFL)
        if flags == -1 { throw SocketError("fcntl", errno) }
        if fcntl(descriptor, F_SETFL, flags & ~O_NONBLOCK) == -1 { throw SocketError("fcntl", errno) }
    }
}
