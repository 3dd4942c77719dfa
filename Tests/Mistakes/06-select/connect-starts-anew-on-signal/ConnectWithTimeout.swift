import Course
import Sockets

func connectWithTimeout(host: String, port: UInt16, timeout: Milliseconds) throws -> Int32 {
    let address = try SocketAddress(host: host, port: port)
    let connection = try check("socket", socket(address.family, SOCK_STREAM, 0))
    do {
        guard connection < Int32(FD_SETSIZE) else { throw SocketError("select", EMFILE) }
        setNonblocking(connection)
        if address.withSockaddr({ connect(connection, $0, $1) }) != 0 {
            guard errno == EINPROGRESS || errno == EINTR else { throw SocketError("connect", errno) }
            try waitUntilWritable(connection, timeout: timeout)
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
    while true {
        var time = timeval(tv_sec: timeout / 1000, tv_usec: timeout % 1000 * 1000)
        var writable = fd_set()
        fdZero(&writable)
        fdSet(connection, &writable)
        let count = select(connection + 1, nil, &writable, nil, &time)
        if count > 0 { return }
        if count == 0 { throw SocketError("connect", ETIMEDOUT) }
        if errno != EINTR { throw SocketError("select", errno) }
    }
}
