import Course
import Dispatch
import Sockets

/// select for writing and for exceptions, asked in slices of at most 50 ms against one deadline.
func connectWithTimeout(host: String, port: UInt16, timeout: Milliseconds) throws -> Int32 {
    let deadline = DispatchTime.now().uptimeNanoseconds + UInt64(max(0, timeout)) * 1_000_000
    let address = try SocketAddress(host: host, port: port)
    let fd = try check("socket", socket(address.family, SOCK_STREAM, 0))
    do {
        var on: Int32 = 1
        var off: Int32 = 0
        guard fd < Int32(FD_SETSIZE) else { throw SocketError("select", EMFILE) }
        try check("ioctl", ioctl(fd, UInt(FIONBIO), &on))
        if try begin(fd, address) == .pending {
            while try !isDecided(fd, deadline) {}
            var code: Int32 = 0
            var size: socklen_t = 4
            try check("getsockopt", getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &size))
            guard code == 0 else { throw SocketError("connect", code) }
        }
        try check("ioctl", ioctl(fd, UInt(FIONBIO), &off))
        return fd
    } catch {
        close(fd)
        throw error
    }
}

private enum Begun { case connected, pending }

private func begin(_ fd: Int32, _ address: SocketAddress) throws -> Begun {
    if address.withSockaddr({ connect(fd, $0, $1) }) == 0 { return .connected }
    guard errno == EINPROGRESS || errno == EINTR else { throw SocketError("connect", errno) }
    return .pending
}

private func isDecided(_ fd: Int32, _ deadline: UInt64) throws -> Bool {
    let now = DispatchTime.now().uptimeNanoseconds
    let left = now < deadline ? min((deadline - now + 999) / 1000, 50_000) : 0
    var w = set([fd])
    var x = set([fd])
    var time = timeval(tv_sec: 0, tv_usec: Int(left))
    let ready = select(fd + 1, nil, &w, &x, &time)
    if ready > 0 { return true }
    if ready < 0 && errno != EINTR { throw SocketError("select", errno) }
    if ready == 0 && left == 0 { throw SocketError("connect", ETIMEDOUT) }
    return false
}
