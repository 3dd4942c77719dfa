import Course
import Sockets

/// A listening socket that does not block: a client that was announced may be gone before accept is called, and then
/// accept would wait for the next one while all others wait for us.
func makeListener(host: String, port: UInt16) throws -> Int32 {
    let address = try SocketAddress(host: host, port: port)
    let listener = try check("socket", socket(address.family, SOCK_STREAM, 0))
    do {
        var on: Int32 = 1
        let size = socklen_t(MemoryLayout<Int32>.size)
        try check("setsockopt", setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, size))
        try check("bind", address.withSockaddr { bind(listener, $0, $1) })
        try check("listen", listen(listener, SOMAXCONN))
        setNonblocking(listener)
        return listener
    } catch {
        close(listener)
        throw error
    }
}

/// From now on calls on this descriptor return EAGAIN where they would wait (fcntl(2)).
func setNonblocking(_ descriptor: Int32) {
    _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK)
}

enum Accepted {
    case client(Int32)
    /// The queue is empty.
    case nobody
    /// No descriptor or no memory for one more: it stays in the queue (EMFILE).
    case noRoom
}

/// The next connection, non-blocking.
func acceptClient(_ listener: Int32) throws -> Accepted {
    while true {
        let connection = accept(listener, nil, nil)
        if connection >= 0 {
            setNonblocking(connection)
            return .client(connection)
        }
        switch errno {
        case EAGAIN: return .nobody
        case EINTR, ECONNABORTED, EPROTO, ENETDOWN, ENETUNREACH, EHOSTUNREACH: continue
        case EMFILE, ENFILE, ENOBUFS, ENOMEM: return .noRoom
        default: throw SocketError("accept", errno)
        }
    }
}
