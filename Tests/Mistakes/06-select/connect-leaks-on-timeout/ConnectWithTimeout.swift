import Course
import Sockets

func connectWithTimeout(host: String, port: UInt16, timeout: Milliseconds) throws -> Int32 {
    let address = try SocketAddress(host: host, port: port)
    let fd = try check("socket", socket(address.family, SOCK_STREAM, 0))
    let flags = fcntl(fd, F_GETFL)
    _ = fcntl(fd, F_SETFL, flags | O_NONBLOCK)
    var now = timespec()
    clock_gettime(CLOCK_MONOTONIC, &now)
    let end = now.tv_sec * 1_000_000 + now.tv_nsec / 1000 + timeout * 1000

    if address.withSockaddr({ connect(fd, $0, $1) }) < 0 {
        if errno != EINPROGRESS && errno != EINTR {
            let code = errno
            close(fd)
            throw SocketError("connect", code)
        }
        var ready: Int32 = 0
        repeat {
            clock_gettime(CLOCK_MONOTONIC, &now)
            let left = max(0, end - now.tv_sec * 1_000_000 - now.tv_nsec / 1000)
            var time = timeval(tv_sec: left / 1_000_000, tv_usec: left % 1_000_000)
            var set = fd_set()
            fdZero(&set)
            guard fd < Int32(FD_SETSIZE) else {
                close(fd)
                throw SocketError("select", EMFILE)
            }
            fdSet(fd, &set)
            ready = select(fd + 1, nil, &set, nil, &time)
        } while ready < 0 && errno == EINTR
        guard ready > 0 else {
            throw SocketError("connect", ready == 0 ? ETIMEDOUT : errno)
        }
        var code: Int32 = 0
        var size = socklen_t(4)
        if getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &size) < 0 { code = errno }
        if code != 0 {
            close(fd)
            throw SocketError("connect", code)
        }
    }
    _ = fcntl(fd, F_SETFL, flags)
    return fd
}
