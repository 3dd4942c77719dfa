import Course
import Sockets

/// pselect with nanoseconds; the socket is made non-blocking at its birth.
func connectWithTimeout(host: String, port: UInt16, timeout: Milliseconds) throws -> Int32 {
    let deadline = nanoseconds() + timeout * 1_000_000
    let address = try SocketAddress(host: host, port: port)
    let fd = try check("socket", socket(address.family, SOCK_STREAM | SOCK_NONBLOCK, 0))
    let outcome = connectCode(fd, address, deadline)
    if outcome != 0 {
        close(fd)
        throw SocketError("connect", outcome)
    }
    _ = fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK)
    return fd
}

/// 0, or what went wrong.
private func connectCode(_ fd: Int32, _ address: SocketAddress, _ deadline: Int) -> Int32 {
    guard fd < Int32(FD_SETSIZE) else { return EMFILE }
    if address.withSockaddr({ connect(fd, $0, $1) }) == 0 { return 0 }
    if errno != EINPROGRESS && errno != EINTR { return errno }
    var ready: Int32
    repeat {
        let left = max(0, deadline - nanoseconds())
        var time = timespec(tv_sec: left / 1_000_000_000, tv_nsec: left % 1_000_000_000)
        var set = fd_set()
        fdZero(&set)
        fdSet(fd, &set)
        ready = pselect(fd + 1, nil, &set, nil, &time, nil)
    } while ready < 0 && errno == EINTR
    if ready < 0 { return errno }
    if ready == 0 { return ETIMEDOUT }
    var code: Int32 = 0
    var size = socklen_t(MemoryLayout<Int32>.size)
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &size) == 0 ? code : errno
}

private func nanoseconds() -> Int {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return time.tv_sec * 1_000_000_000 + time.tv_nsec
}
