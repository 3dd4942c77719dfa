import Course
import Sockets

/// connect waits as long as the kernel pleases, more than two minutes on Linux. So it is only started here, and the
/// waiting is done by select, with our own limit.
func connectWithTimeout(host: String, port: UInt16, timeout: Milliseconds) throws -> Int32 {
    let address = try SocketAddress(host: host, port: port)
    let connection = try check("socket", socket(address.family, SOCK_STREAM, 0))
    do {
        guard connection < Int32(FD_SETSIZE) else { throw SocketError("select", EMFILE) }
        setNonblocking(connection)
        if address.withSockaddr({ connect(connection, $0, $1) }) != 0 {
            // EINPROGRESS: the first packet of the handshake is under way. EINTR says the same: the handshake goes on, and
            // a second connect would only fail with EALREADY.
            guard errno == EINPROGRESS || errno == EINTR else { throw SocketError("connect", errno) }
            try waitUntilWritable(connection, timeout: timeout)
            // Writable means decided, not connected. How it was decided is the socket's pending error.
            var code: Int32 = 0
            var size = socklen_t(MemoryLayout<Int32>.size)
            try check("getsockopt", getsockopt(connection, SOL_SOCKET, SO_ERROR, &code, &size))
            guard code == 0 else { throw SocketError("connect", code) }
        }
        setNonblocking(connection, false)
        return connection
    } catch {
        close(connection)
        throw error
    }
}

private func waitUntilWritable(_ connection: Int32, timeout: Milliseconds) throws {
    let deadline = monotonicMilliseconds() + timeout
    while true {
        // What is left of the time, since a signal may end select early.
        let left = max(0, deadline - monotonicMilliseconds())
        var time = timeval(tv_sec: (left + 999) / 1000, tv_usec: 0)
        var writable = fd_set()
        fdZero(&writable)
        fdSet(connection, &writable)
        let count = select(connection + 1, nil, &writable, nil, &time)
        if count > 0 { return }
        if count == 0 { throw SocketError("connect", ETIMEDOUT) }
        if errno != EINTR { throw SocketError("select", errno) }
    }
}

private func monotonicMilliseconds() -> Int {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int(time.tv_sec) * 1000 + Int(time.tv_nsec) / 1_000_000
}
