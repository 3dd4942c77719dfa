import Course
import Sockets

func unixEchoServer(path: String, stop: Int32) throws {
    // Before anything is done: a path that does not fit with its final zero is refused (ENAMETOOLONG), never cut.
    let address = try SocketAddress(unixPath: path)
    try removeLeftover(at: path, address)

    let listener = try check("socket", socket(AF_UNIX, SOCK_STREAM, 0))
    defer { close(listener) }
    try check("bind", address.withSockaddr { bind(listener, $0, $1) })
    // From here on the file is ours. Nothing else removes it: closing the socket does not.
    defer { unlink(path) }
    // Between bind and listen nobody can connect yet, so nobody who may not slips in.
    try check("chmod", chmod(path, 0o600))
    try check("listen", listen(listener, 128))

    while true {
        let client = accept(listener, nil, nil)
        if client < 0 {
            if errno == EINTR || errno == ECONNABORTED { continue }
            throw SocketError("accept", errno)
        }
        defer { close(client) }
        try echo(client, until: stop)
        if try isStopped(stop) { return }
    }
}

private func isStopped(_ stop: Int32) throws -> Bool {
    var waiting = pollfd(fd: stop, events: Int16(POLLIN), revents: 0)
    return try check("poll", poll(&waiting, 1, 0)) > 0
}

/// Makes room at the path, if what is there is a socket that nobody listens at.
private func removeLeftover(at path: String, _ address: SocketAddress) throws {
    var status = stat()
    // lstat: a link is not followed. Nothing there, or no such folder: bind will say so.
    guard lstat(path, &status) == 0 else { return }
    // To connect to an ordinary file is refused, too; removed would be what somebody wrote.
    guard status.st_mode & S_IFMT == S_IFSOCK else { throw SocketError("bind", EADDRINUSE) }
    let probe = try check("socket", socket(AF_UNIX, SOCK_STREAM, 0))
    defer { close(probe) }
    // Without waiting: a server whose queue is full (EAGAIN) is alive.
    try check("fcntl", fcntl(probe, F_SETFL, O_NONBLOCK))
    guard address.withSockaddr({ connect(probe, $0, $1) }) != 0, errno == ECONNREFUSED else {
        throw SocketError("bind", EADDRINUSE)
    }
    // Somebody else may have removed it in this moment: then it is gone all the same.
    guard unlink(path) == 0 || errno == ENOENT else { throw SocketError("unlink", errno) }
}

/// Sends back what comes, until the client ends, breaks, or the server is to stop.
private func echo(_ client: Int32, until stop: Int32) throws {
    var buffer = [UInt8](repeating: 0, count: 65_536)
    while try isReady(client, POLLIN, before: stop) {
        let count = recv(client, &buffer, buffer.count, 0)
        if count < 0 && errno == EINTR { continue }
        if count <= 0 { return }
        var sent = 0
        while sent < count {
            guard try isReady(client, POLLOUT, before: stop) else { return }
            // Without waiting, so that a client that never reads cannot keep the server from stopping.
            let part = buffer[sent..<count].withUnsafeBytes {
                send(client, $0.baseAddress, $0.count, MSG_NOSIGNAL | MSG_DONTWAIT)
            }
            if part < 0 && (errno == EINTR || errno == EAGAIN) { continue }
            if part < 0 { return }
            sent += part
        }
    }
}

/// Waits until the descriptor is ready; false if `stop` became readable first.
private func isReady(_ descriptor: Int32, _ events: Int32, before stop: Int32) throws -> Bool {
    var waiting = [
        pollfd(fd: descriptor, events: Int16(events), revents: 0), pollfd(fd: stop, events: Int16(POLLIN), revents: 0),
    ]
    while poll(&waiting, 2, -1) < 0 { guard errno == EINTR else { throw SocketError("poll", errno) } }
    return waiting[1].revents == 0
}
