import Course
import Sockets

func unixEchoServer(path: String, stop: Int32) throws {
    let address = try SocketAddress(unixPath: path)
    try removeLeftover(at: path, address)

    let listener = try check("socket", socket(AF_UNIX, SOCK_STREAM, 0))
    defer { close(listener) }
    try check("bind", address.withSockaddr { bind(listener, $0, $1) })
    defer { unlink(path) }
    try check("chmod", chmod(path, 0o600))
    try check("listen", listen(listener, 128))

    while try isReady(listener, POLLIN, before: stop) {
        let client = accept(listener, nil, nil)
        if client < 0 {
            if errno == EINTR || errno == ECONNABORTED { continue }
            throw SocketError("accept", errno)
        }
        defer { close(client) }
        try echo(client, until: stop)
    }
}

private func removeLeftover(at path: String, _ address: SocketAddress) throws {
    var status = stat()
    guard lstat(path, &status) == 0 else { return }
    guard status.st_mode & S_IFMT == S_IFSOCK else { throw SocketError("bind", EADDRINUSE) }
    let probe = try check("socket", socket(AF_UNIX, SOCK_STREAM, 0))
    defer { close(probe) }
    try check("fcntl", fcntl(probe, F_SETFL, O_NONBLOCK))
    guard address.withSockaddr({ connect(probe, $0, $1) }) != 0 else {
        throw SocketError("bind", EADDRINUSE)
    }
    guard unlink(path) == 0 || errno == ENOENT else { throw SocketError("unlink", errno) }
}

private func echo(_ client: Int32, until stop: Int32) throws {
    var buffer = [UInt8](repeating: 0, count: 65_536)
    while try isReady(client, POLLIN, before: stop) {
        let count = recv(client, &buffer, buffer.count, 0)
        if count < 0 && errno == EINTR { continue }
        if count <= 0 { return }
        var sent = 0
        while sent < count {
            guard try isReady(client, POLLOUT, before: stop) else { return }
            let part = buffer[sent..<count].withUnsafeBytes {
                send(client, $0.baseAddress, $0.count, MSG_NOSIGNAL | MSG_DONTWAIT)
            }
            if part < 0 && (errno == EINTR || errno == EAGAIN) { continue }
            if part < 0 { return }
            sent += part
        }
    }
}

private func isReady(_ descriptor: Int32, _ events: Int32, before stop: Int32) throws -> Bool {
    var waiting = [
        pollfd(fd: descriptor, events: Int16(events), revents: 0), pollfd(fd: stop, events: Int16(POLLIN), revents: 0),
    ]
    while poll(&waiting, 2, -1) < 0 { guard errno == EINTR else { throw SocketError("poll", errno) } }
    return waiting[1].revents == 0
}
