import Course
import Sockets

private struct Visitor {
    var pending: [UInt8] = []
    var hasEnded = false
}

func unixEchoServer(path: String, stop: Int32) throws {
    guard path.utf8.count < 108 else { throw SocketError("unix path", ENAMETOOLONG) }
    let address = try SocketAddress(unixPath: path)
    let listener = try check("socket", socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0))
    defer { close(listener) }

    let mask = umask(0o177)
    var result = address.withSockaddr { bind(listener, $0, $1) }
    var code = errno
    if result < 0 && code == EADDRINUSE && isDead(path, address) {
        unlink(path)
        result = address.withSockaddr { bind(listener, $0, $1) }
        code = errno
    }
    umask(mask)
    guard result == 0 else { throw SocketError("bind", code) }
    defer { unlink(path) }
    try check("listen", listen(listener, SOMAXCONN))

    var visitors: [Int32: Visitor] = [:]
    defer { for descriptor in visitors.keys { close(descriptor) } }
    while true {
        var waiting = [
            pollfd(fd: stop, events: Int16(POLLIN), revents: 0),
            pollfd(fd: listener, events: Int16(POLLIN), revents: 0),
        ]
        for (descriptor, visitor) in visitors {
            let events = visitor.pending.isEmpty ? POLLIN : POLLOUT
            waiting.append(pollfd(fd: descriptor, events: Int16(events), revents: 0))
        }
        if poll(&waiting, nfds_t(waiting.count), -1) < 0 {
            if errno == EINTR { continue }
            throw SocketError("poll", errno)
        }
        if waiting[0].revents != 0 { return }
        if waiting[1].revents != 0 {
            let visitor = accept4(listener, nil, nil, SOCK_NONBLOCK)
            if visitor >= 0 { visitors[visitor] = Visitor() }
        }
        for entry in waiting.dropFirst(2) where entry.revents != 0 {
            guard var visitor = visitors[entry.fd] else { continue }
            if serve(entry.fd, &visitor) {
                visitors[entry.fd] = visitor
            } else {
                close(entry.fd)
                visitors[entry.fd] = nil
            }
        }
    }
}

private func isDead(_ path: String, _ address: SocketAddress) -> Bool {
    var status = stat()
    guard lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFSOCK else { return false }
    let probe = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0)
    defer { close(probe) }
    return address.withSockaddr { connect(probe, $0, $1) } < 0 && errno == ECONNREFUSED
}

private func serve(_ descriptor: Int32, _ visitor: inout Visitor) -> Bool {
    if visitor.pending.isEmpty {
        var buffer = [UInt8](repeating: 0, count: 8192)
        let count = read(descriptor, &buffer, buffer.count)
        if count < 0 { return errno == EINTR || errno == EAGAIN }
        if count == 0 { return false }
        visitor.pending = Array(buffer[..<count])
    }
    let sent = send(descriptor, visitor.pending, visitor.pending.count, MSG_NOSIGNAL)
    if sent < 0 { return errno == EINTR || errno == EAGAIN }
    visitor.pending.removeFirst(sent)
    return true
}
