import Course
import Sockets

func connectWithRetry(
    host: String, port: UInt16, policy: RetryPolicy, sleep: (Milliseconds) -> Void
) throws -> Int32 {
    let deadline = Deadline(in: policy.timeout)
    var hints = addrinfo()
    hints.ai_family = AF_INET
    hints.ai_socktype = SOCK_STREAM
    var longest = min(policy.firstWait, policy.longestWait)
    var connection: Int32 = -1
    defer { if connection >= 0 { close(connection) } }
    for attempt in 1...policy.attempts {
        var code = ECONNREFUSED
        var call = "connect"
        var found: UnsafeMutablePointer<addrinfo>?
        let answer = getaddrinfo(host, String(port), &hints, &found)
        if answer != 0 {
            guard answer == EAI_AGAIN else { throw ResolveError(code: answer) }
        } else {
            defer { freeaddrinfo(found) }
            if connection < 0 {
                connection = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)
                if connection < 0 {
                    code = errno
                    call = "socket"
                }
            }
            var next = found
            while connection >= 0, let entry = next?.pointee {
                code = connect(connection, entry.ai_addr, entry.ai_addrlen) == 0 ? 0 : errno
                if code == EINPROGRESS || code == EALREADY {
                    switch waitUntilReady(
                        connection, for: Int32(POLLOUT),
                        before: deadline.orEarlier(Deadline(in: policy.connectTimeout)))
                    {
                    case .ready:
                        var size = socklen_t(MemoryLayout<Int32>.size)
                        getsockopt(connection, SOL_SOCKET, SO_ERROR, &code, &size)
                    default: code = ETIMEDOUT
                    }
                }
                if code == 0 {
                    _ = fcntl(connection, F_SETFL, 0)
                    defer { connection = -1 }
                    return connection
                }
                next = entry.ai_next
            }
        }
        let wait = Int.random(in: longest / 2...longest)
        guard classify(code: code, isConnected: false) == .tryLater, attempt < policy.attempts, wait < deadline.left
        else { throw SocketError(call, code) }
        sleep(wait)
        longest = longest > policy.longestWait / 2 ? policy.longestWait : longest * 2
    }
    throw SocketError("connect", ETIMEDOUT)
}
