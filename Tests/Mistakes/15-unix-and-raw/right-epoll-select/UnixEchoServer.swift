import Course
import Sockets

/// Bind first, and only if the path is taken look what is there; the mode comes from umask; epoll waits.
func unixEchoServer(path: String, stop: Int32) throws {
    let address = try SocketAddress(unixPath: path)
    let listener = try check("socket", socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0))
    defer { close(listener) }
    do {
        try bindPrivately(listener, address)
    } catch let error as SocketError where error.code == EADDRINUSE {
        guard isLeftover(path, address) else { throw error }
        unlink(path)
        try bindPrivately(listener, address)
    }
    defer { unlink(path) }
    try check("listen", listen(listener, 64))

    let poller = try check("epoll_create1", epoll_create1(Int32(EPOLL_CLOEXEC)))
    defer { close(poller) }
    try watch(poller, EPOLL_CTL_ADD, stop, EPOLLIN.rawValue)
    try watch(poller, EPOLL_CTL_ADD, listener, EPOLLIN.rawValue)
    while try pause(poller, stop) {
        let client = accept4(listener, nil, nil, SOCK_NONBLOCK | SOCK_CLOEXEC)
        guard client >= 0 else {
            if [EINTR, EAGAIN, ECONNABORTED].contains(errno) { continue }
            throw SocketError("accept4", errno)
        }
        defer { close(client) }
        // One after another: the door is not watched meanwhile.
        try watch(poller, EPOLL_CTL_DEL, listener, 0)
        try watch(poller, EPOLL_CTL_ADD, client, EPOLLIN.rawValue)
        guard try serve(client, poller, stop) else { return }
        try watch(poller, EPOLL_CTL_DEL, client, 0)
        try watch(poller, EPOLL_CTL_ADD, listener, EPOLLIN.rawValue)
    }
}

private func bindPrivately(_ socket: Int32, _ address: SocketAddress) throws {
    let old = umask(0o177)
    let result = address.withSockaddr { bind(socket, $0, $1) }
    let code = errno
    umask(old)
    if result != 0 { throw SocketError("bind", code) }
}

private func isLeftover(_ path: String, _ address: SocketAddress) -> Bool {
    var status = stat()
    guard lstat(path, &status) == 0 else { return errno == ENOENT }
    guard status.st_mode & S_IFMT == S_IFSOCK else { return false }
    let probe = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)
    guard probe >= 0 else { return false }
    defer { close(probe) }
    return address.withSockaddr { connect(probe, $0, $1) } == -1 && errno == ECONNREFUSED
}

private func watch(_ poller: Int32, _ operation: Int32, _ descriptor: Int32, _ events: UInt32) throws {
    var event = epoll_event(events: events, data: epoll_data_t(fd: descriptor))
    try check("epoll_ctl", epoll_ctl(poller, operation, descriptor, &event))
}

/// false: stop.
private func pause(_ poller: Int32, _ stop: Int32) throws -> Bool {
    var events = [epoll_event](repeating: epoll_event(), count: 2)
    while true {
        let count = epoll_wait(poller, &events, 2, -1)
        if count < 0 && errno != EINTR { throw SocketError("epoll_wait", errno) }
        if count > 0 { return !events.prefix(Int(count)).contains { $0.data.fd == stop } }
    }
}

/// - Returns: false if it is time to stop.
private func serve(_ client: Int32, _ poller: Int32, _ stop: Int32) throws -> Bool {
    var buffer = [UInt8](repeating: 0, count: 10_000)
    while try pause(poller, stop) {
        let end = recv(client, &buffer, buffer.count, 0)
        if end < 0 && (errno == EINTR || errno == EAGAIN) { continue }
        if end <= 0 { return true }
        var start = 0
        while start < end {
            let count = buffer.withUnsafeBytes { send(client, $0.baseAddress! + start, end - start, MSG_NOSIGNAL) }
            if count >= 0 {
                start += count
            } else if errno == EAGAIN {
                try watch(poller, EPOLL_CTL_MOD, client, EPOLLOUT.rawValue)
                guard try pause(poller, stop) else { return false }
                try watch(poller, EPOLL_CTL_MOD, client, EPOLLIN.rawValue)
            } else if errno != EINTR {
                return true
            }
        }
    }
    return false
}
