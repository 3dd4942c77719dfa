import Course
import Sockets

/// With poll: no limit for the number.
func connectWithTimeout(host: String, port: UInt16, timeout: Milliseconds) throws -> Int32 {
    let clock = ContinuousClock()
    let deadline = clock.now + .milliseconds(timeout)
    let address = try SocketAddress(host: host, port: port)
    let descriptor = try check("socket", socket(address.family, SOCK_STREAM, 0))
    var isGood = false
    defer { if !isGood { close(descriptor) } }
    let flags = try check("fcntl", fcntl(descriptor, F_GETFL))
    try check("fcntl", fcntl(descriptor, F_SETFL, flags | O_NONBLOCK))

    if address.withSockaddr({ connect(descriptor, $0, $1) }) < 0 {
        if errno != EINPROGRESS && errno != EINTR { throw SocketError("connect", errno) }
        var decided = false
        while !decided {
            let (seconds, atto) = clock.now.duration(to: deadline).components
            // Rounded up to whole milliseconds.
            let left = max(0, Int(seconds) * 1000 + Int((atto + 999_999_999_999_999) / 1_000_000_000_000_000))
            var waiting = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
            switch poll(&waiting, 1, Int32(clamping: left)) {
            case 0 where clock.now >= deadline: throw SocketError("connect", ETIMEDOUT)
            case 0: continue
            case 1: decided = true
            default: if errno != EINTR { throw SocketError("poll", errno) }
            }
        }
        var code: Int32 = 0
        var size = socklen_t(MemoryLayout.size(ofValue: code))
        try check("getsockopt", getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &size))
        if code != 0 { throw SocketError("connect", code) }
    }
    try check("fcntl", fcntl(descriptor, F_SETFL, flags))
    isGood = true
    return descriptor
}
