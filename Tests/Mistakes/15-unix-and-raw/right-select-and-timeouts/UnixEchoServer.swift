import Course
import Sockets

func unixEchoServer(path: String, stop: Int32) throws {
    let address = try SocketAddress(unixPath: path)
    try makeRoom(path, address)
    let listener = try check("socket", socket(AF_UNIX, SOCK_STREAM | Int32(SOCK_CLOEXEC.rawValue), 0))
    defer { close(listener) }
    try check("bind", address.withSockaddr { bind(listener, $0, $1) })
    defer { unlink(path) }
    try check("chmod", chmod(path, S_IRUSR | S_IWUSR))
    try check("listen", listen(listener, 128))
    while await_(listener, stop, toWrite: false) {
        let client = accept(listener, nil, nil)
        if client < 0 {
            if errno == EMFILE || errno == ENFILE { poll(nil, 0, 50) }
            continue
        }
        echo(client, stop)
        close(client)
    }
}

private func makeRoom(_ path: String, _ address: SocketAddress) throws {
    var info = stat()
    if lstat(path, &info) != 0 {
        if errno == ENOENT { return }
        throw SocketError("lstat", errno)
    }
    guard info.st_mode & S_IFMT == S_IFSOCK else { throw SocketError("bind", EADDRINUSE) }
    let probe = try check("socket", socket(AF_UNIX, SOCK_STREAM | Int32(SOCK_NONBLOCK.rawValue), 0))
    defer { close(probe) }
    let isLeft = address.withSockaddr { connect(probe, $0, $1) } < 0 && errno == ECONNREFUSED
    guard isLeft else { throw SocketError("bind", EADDRINUSE) }
    try check("unlink", unlink(path))
}

/// select(2): false once stop is readable.
private func await_(_ fd: Int32, _ stop: Int32, toWrite: Bool) -> Bool {
    while true {
        var reading = fd_set()
        var writing = fd_set()
        fdZero(&reading)
        fdZero(&writing)
        fdSet(stop, &reading)
        if toWrite { fdSet(fd, &writing) } else { fdSet(fd, &reading) }
        let n = select(max(fd, stop) + 1, &reading, &writing, nil, nil)
        if n < 0 { continue }
        return fdIsSet(stop, &reading) == 0
    }
}

private func echo(_ client: Int32, _ stop: Int32) {
    _ = fcntl(client, F_SETFL, O_NONBLOCK)
    var buffer = [UInt8](repeating: 0, count: 4096)
    while await_(client, stop, toWrite: false) {
        let n = recv(client, &buffer, buffer.count, 0)
        if n < 0 && (errno == EINTR || errno == EAGAIN) { continue }
        if n <= 0 { return }
        var at = 0
        while at < n {
            let m = buffer.withUnsafeBytes { send(client, $0.baseAddress! + at, n - at, MSG_NOSIGNAL) }
            if m >= 0 { at += m; continue }
            if errno == EAGAIN { if !await_(client, stop, toWrite: true) { return } } else if errno != EINTR { return }
        }
    }
}
