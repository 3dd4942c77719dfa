import Sockets

func uppercaseServer(host: String, port: UInt16) throws {
    let listener = try listen(host, port)
    defer { close(listener) }
    while true {
        if let fd = try next(listener) { converse(fd) }
    }
}

func listen(_ host: String, _ port: UInt16, _ flags: Int32 = 0) throws -> Int32 {
    _ = brokenPipesAreErrors
    let address = try SocketAddress(host: host, port: port)
    let fd = try check("socket", socket(address.family, SOCK_STREAM | SOCK_CLOEXEC | flags, 0))
    var on: Int32 = 1
    var call = "setsockopt"
    var result = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size))
    if result == 0 { (call, result) = ("bind", address.withSockaddr { bind(fd, $0, $1) }) }
    if result == 0 { (call, result) = ("listen", Glibc.listen(fd, SOMAXCONN)) }
    if result == 0 { return fd }
    let error = SocketError(call, errno)
    close(fd)
    throw error
}

/// nil: nobody this time, ask again.
func next(_ listener: Int32) throws -> Int32? {
    let fd = accept4(listener, nil, nil, SOCK_CLOEXEC)
    if fd >= 0 { return fd }
    let code = errno
    switch code {
    case EBADF, EINVAL, EFAULT, ENOTSOCK, EOPNOTSUPP:
        throw SocketError("accept4", code)
    case EMFILE, ENFILE, ENOBUFS, ENOMEM:
        poll(nil, 0, 50)
    default:
        break  // a signal, or that client's own misfortune (accept(2))
    }
    return nil
}

private let upper: [UInt8] = (0...255).map { 97...122 ~= $0 ? $0 - 32 : $0 }

/// Owns the connection.
func converse(_ fd: Int32) {
    var bytes = [UInt8](repeating: 0, count: 8192)
    while true {
        let count = read(fd, &bytes, bytes.count)
        if count < 0 && errno == EINTR { continue }
        if count <= 0 { break }
        guard (try? sendAll(fd, bytes.prefix(count).map { upper[Int($0)] })) != nil else { break }
    }
    close(fd)
}
