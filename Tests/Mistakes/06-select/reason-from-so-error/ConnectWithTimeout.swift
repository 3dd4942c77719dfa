import Course
import Sockets

func connectWithTimeout(host: String, port: UInt16, timeout: Milliseconds) throws -> Int32 {
    let address = try SocketAddress(host: host, port: port)
    let start = microseconds()
    let client = try check("socket", socket(address.family, SOCK_STREAM, 0))
    let code: Int32
    do {
        code = try decide(client, address, start: start, limit: timeout * 1000)
    } catch {
        close(client)
        throw error
    }
    guard code == 0 else {
        close(client)
        throw SocketError("connect", code)
    }
    _ = fcntl(client, F_SETFL, fcntl(client, F_GETFL) & ~O_NONBLOCK)
    return client
}

/// 0 if it is connected, else why it is not. The kernel keeps that for us, however it came about.
private func decide(_ client: Int32, _ address: SocketAddress, start: Int, limit: Int) throws -> Int32 {
    if client >= Int32(FD_SETSIZE) { return EMFILE }
    try check("fcntl", fcntl(client, F_SETFL, fcntl(client, F_GETFL) | O_NONBLOCK))
    let result = address.withSockaddr { connect(client, $0, $1) }
    if result == 0 { return 0 }
    if errno == EINPROGRESS || errno == EINTR {
        guard try waitForRoom(client, start + limit) else { return ETIMEDOUT }
    }
    var code: Int32 = 0
    var size = socklen_t(MemoryLayout<Int32>.size)
    try check("getsockopt(SO_ERROR)", getsockopt(client, SOL_SOCKET, SO_ERROR, &code, &size))
    return code
}

private func waitForRoom(_ client: Int32, _ deadline: Int) throws -> Bool {
    var count: Int32
    repeat {
        let left = max(deadline - microseconds(), 0)
        var interval = timeval(tv_sec: left / 1_000_000, tv_usec: left % 1_000_000)
        var set = fd_set()
        fdZero(&set)
        fdSet(client, &set)
        count = select(client + 1, nil, &set, nil, &interval)
    } while count < 0 && errno == EINTR
    return try check("select", count) > 0
}

private func microseconds() -> Int {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return time.tv_sec * 1_000_000 + time.tv_nsec / 1000
}
