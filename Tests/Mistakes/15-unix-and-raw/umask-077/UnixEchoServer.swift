import Course
import Sockets

/// What is left of a server that was killed is removed; whatever else is there is not ours.
private func clear(_ path: String, _ address: SocketAddress) throws {
    var status = stat()
    if lstat(path, &status) != 0 { return }
    if status.st_mode & S_IFMT == S_IFSOCK {
        let probe = try check("socket", socket(AF_UNIX, SOCK_STREAM, 0))
        defer { close(probe) }
        try check("fcntl", fcntl(probe, F_SETFL, O_NONBLOCK))
        var refused = false
        if address.withSockaddr({ connect(probe, $0, $1) }) < 0 { refused = errno == ECONNREFUSED }
        if refused {
            if unlink(path) < 0 && errno != ENOENT { throw SocketError("unlink", errno) }
            return
        }
    }
    throw SocketError("bind", EADDRINUSE)
}

private final class EchoServer {
    let path: String
    let listener: Int32
    let stop: Int32

    init(path: String, stop: Int32) throws {
        self.path = path
        self.stop = stop
        let address = try SocketAddress(unixPath: path)
        try clear(path, address)
        let descriptor = try check("socket", socket(AF_UNIX, SOCK_STREAM, 0))
        // For the owner only, and from the very moment in which the file is made: a chmod behind it would come later.
        let before = umask(0o077)
        let result = address.withSockaddr { bind(descriptor, $0, $1) }
        let reason = errno
        umask(before)
        guard result == 0 else {
            close(descriptor)
            throw SocketError("bind", reason)
        }
        listener = descriptor
        guard listen(listener, SOMAXCONN) == 0 else {
            let reason = errno
            close(descriptor)
            unlink(path)
            throw SocketError("listen", reason)
        }
    }

    func end() {
        close(listener)
        unlink(path)
    }

    func run() throws {
        while try !mustStop(waitingFor: listener, Int16(POLLIN)) {
            let client = accept(listener, nil, nil)
            if client < 0 {
                guard errno == EINTR || errno == ECONNABORTED else { throw SocketError("accept", errno) }
                continue
            }
            defer { close(client) }
            while try exchange(client) {}
        }
    }

    private func mustStop(waitingFor descriptor: Int32, _ events: Int16) throws -> Bool {
        var list = [
            pollfd(fd: descriptor, events: events, revents: 0), pollfd(fd: stop, events: Int16(POLLIN), revents: 0),
        ]
        while true {
            if poll(&list, nfds_t(list.count), -1) > 0 { return list[1].revents != 0 }
            if errno != EINTR { throw SocketError("poll", errno) }
        }
    }

    /// One receive, and all of it back.
    ///
    /// - Returns: false if it was the last one.
    private func exchange(_ client: Int32) throws -> Bool {
        if try mustStop(waitingFor: client, Int16(POLLIN)) { return false }
        var block = [UInt8](repeating: 0, count: 32_768)
        let count = recv(client, &block, block.count, 0)
        if count < 0 { return errno == EINTR }
        if count == 0 { return false }
        var offset = 0
        while offset < count {
            if try mustStop(waitingFor: client, Int16(POLLOUT)) { return false }
            let sent = block.withUnsafeBytes {
                send(client, $0.baseAddress! + offset, count - offset, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
            }
            if sent < 0 {
                if errno == EAGAIN || errno == EINTR { continue }
                return false
            }
            offset += sent
        }
        return true
    }
}

func unixEchoServer(path: String, stop: Int32) throws {
    let server = try EchoServer(path: path, stop: stop)
    defer { server.end() }
    try server.run()
}
