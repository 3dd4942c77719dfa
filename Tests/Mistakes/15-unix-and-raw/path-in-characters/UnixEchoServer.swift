import Course
import Sockets

/// A sockaddr_un by hand, as in C.
private func makeAddress(_ path: String) throws -> sockaddr_un {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let room = MemoryLayout.size(ofValue: address.sun_path)
    if path.count >= room { throw SocketError("unixEchoServer", ENAMETOOLONG) }
    withUnsafeMutableBytes(of: &address.sun_path) { to in
        _ = strncpy(to.baseAddress!.assumingMemoryBound(to: CChar.self), path, room - 1)
    }
    return address
}

private func with<R>(_ address: sockaddr_un, _ body: (UnsafePointer<sockaddr>, socklen_t) -> R) -> R {
    var address = address
    return withUnsafePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
    }
}

func unixEchoServer(path: String, stop: Int32) throws {
    let address = try makeAddress(path)
    var info = stat()
    if lstat(path, &info) == 0 {
        guard info.st_mode & S_IFMT == S_IFSOCK else { throw SocketError("bind", EADDRINUSE) }
        let probe = try check("socket", socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0))
        let code = with(address) { connect(probe, $0, $1) } == 0 ? 0 : errno
        close(probe)
        guard code == ECONNREFUSED else { throw SocketError("bind", EADDRINUSE) }
        unlink(path)
    }
    let listener = try check("socket", socket(AF_UNIX, SOCK_STREAM, 0))
    defer { close(listener) }
    try check("bind", with(address) { bind(listener, $0, $1) })
    defer { unlink(path) }
    chmod(path, 0o600)
    try check("listen", listen(listener, 128))

    while readable(listener, stop) {
        let client = accept(listener, nil, nil)
        if client < 0 { continue }
        talk(client, stop)
        close(client)
    }
}

private func talk(_ client: Int32, _ stop: Int32) {
    var buffer = [UInt8](repeating: 0, count: 4096)
    while readable(client, stop) {
        let n = recv(client, &buffer, buffer.count, 0)
        if n == 0 || n < 0 && errno != EINTR { return }
        var rest = ArraySlice(buffer[..<max(n, 0)])
        while !rest.isEmpty {
            let m = rest.withUnsafeBytes { send(client, $0.baseAddress, $0.count, MSG_NOSIGNAL | MSG_DONTWAIT) }
            if m >= 0 {
                rest = rest.dropFirst(m)
            } else if errno == EAGAIN {
                if !readable(client, stop, POLLOUT) { return }
            } else if errno != EINTR {
                return
            }
        }
    }
}

private func readable(_ descriptor: Int32, _ stop: Int32, _ events: Int32 = POLLIN) -> Bool {
    var fds = [
        pollfd(fd: stop, events: Int16(POLLIN), revents: 0), pollfd(fd: descriptor, events: Int16(events), revents: 0),
    ]
    while poll(&fds, 2, -1) < 0 && errno == EINTR {}
    return fds[0].revents == 0
}
