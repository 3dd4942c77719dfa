import Course
import Sockets

func connectWithTimeout(host: String, port: UInt16, timeout: Milliseconds) throws -> Int32 {
    let target = try SocketAddress(host: host, port: port)
    let descriptor = try check("socket", socket(target.family, SOCK_STREAM, 0))
    var handedOut = false
    defer { if !handedOut { close(descriptor) } }
    guard descriptor < Int32(FD_SETSIZE) else { throw SocketError("select", EMFILE) }

    let flags = try check("fcntl", fcntl(descriptor, F_GETFL))
    try check("fcntl", fcntl(descriptor, F_SETFL, flags | O_NONBLOCK))
    let started = target.withSockaddr { connect(descriptor, $0, $1) }
    if started == -1 {
        switch errno {
        case EINPROGRESS, EINTR: break
        default: throw SocketError("connect", errno)
        }
        guard try isDecided(descriptor, within: timeout) else { throw SocketError("connect", ETIMEDOUT) }
        let outcome = try pendingError(descriptor)
        if outcome != 0 { throw SocketError("connect", outcome) }
    }
    try check("fcntl", fcntl(descriptor, F_SETFL, flags))
    handedOut = true
    return descriptor
}

/// Waits in short steps, so that a signal costs one step at most and never begins the whole wait again.
private func isDecided(_ descriptor: Int32, within timeout: Milliseconds) throws -> Bool {
    let step = 50
    var left = timeout
    while left > 0 {
        let now = min(step, left)
        var time = timeval(tv_sec: 0, tv_usec: now * 1000)
        var set = fd_set()
        fdZero(&set)
        fdSet(descriptor, &set)
        let count = select(descriptor + 1, nil, &set, nil, &time)
        if count == 1 { return true }
        if count < 0 && errno != EINTR { throw SocketError("select", errno) }
        left -= now
    }
    return false
}

private func pendingError(_ descriptor: Int32) throws -> Int32 {
    var code: Int32 = 0
    var size = socklen_t(MemoryLayout.size(ofValue: code))
    try check("getsockopt", getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &size))
    return code
}
