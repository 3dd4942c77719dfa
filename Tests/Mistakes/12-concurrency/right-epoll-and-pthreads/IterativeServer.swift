import Sockets

func iterativeServer(host: String, port: UInt16) throws {
    let listener = try openListener(host, port)
    defer { close(listener) }
    try welcome(listener) { converse($0) }
}

// MARK: what all of them share

func openListener(_ host: String, _ port: UInt16, _ flags: Int32 = 0) throws -> Int32 {
    let address = try SocketAddress(host: host, port: port)
    let fd = try check("socket", socket(address.family, SOCK_STREAM | SOCK_CLOEXEC | flags, 0))
    var on: Int32 = 1
    var call = "setsockopt"
    var result = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size))
    if result == 0 { (call, result) = ("bind", address.withSockaddr { bind(fd, $0, $1) }) }
    if result == 0 { (call, result) = ("listen", listen(fd, SOMAXCONN)) }
    if result == 0 { return fd }
    let error = SocketError(call, errno)
    close(fd)
    throw error
}

enum Accepted {
    case connection(Int32)
    /// A signal, or a client that is gone already.
    case nobody
    /// EAGAIN: the listener does not wait.
    case notYet
    /// No descriptor, no memory: not now.
    case noRoom
    case failure(SocketError)
}

func acceptOnce(_ listener: Int32, _ flags: Int32 = 0) -> Accepted {
    let fd = accept4(listener, nil, nil, SOCK_CLOEXEC | flags)
    if fd >= 0 { return .connection(fd) }
    let code = errno
    switch code {
    case EAGAIN: return .notYet
    case EMFILE, ENFILE, ENOBUFS, ENOMEM: return .noRoom
    case EBADF, EFAULT, EINVAL, ENOTSOCK, EOPNOTSUPP: return .failure(SocketError("accept4", code))
    default: return .nobody
    }
}

/// For ever. The connection is the guest's: `serve` closes it.
func welcome(_ listener: Int32, _ serve: (Int32) -> Void) throws {
    while true {
        switch acceptOnce(listener) {
        case .connection(let fd): serve(fd)
        case .nobody, .notYet: break
        case .noRoom: poll(nil, 0, 50)
        case .failure(let error): throw error
        }
    }
}

/// Answers to the client's end, and closes.
func converse(_ fd: Int32) {
    answer(fd)
    close(fd)
}

func answer(_ fd: Int32) {
    withUnsafeTemporaryAllocation(byteCount: 8192, alignment: 16) { room in
        while true {
            let count = recv(fd, room.baseAddress, room.count, 0)
            if count < 0 && errno == EINTR { continue }
            if count <= 0 { return }
            shout(UnsafeMutableRawBufferPointer(rebasing: room[..<count]))
            var part = iovec(iov_base: room.baseAddress, iov_len: count)
            while part.iov_len > 0 {
                let sent = withUnsafeMutablePointer(to: &part) { part in
                    var header = msghdr()
                    header.msg_iov = part
                    header.msg_iovlen = 1
                    return sendmsg(fd, &header, MSG_NOSIGNAL)
                }
                if sent < 0 && errno == EINTR { continue }
                if sent < 0 { return }
                part.iov_base += sent
                part.iov_len -= sent
            }
        }
    }
}

/// In place; ASCII only.
func shout(_ bytes: UnsafeMutableRawBufferPointer) {
    for index in bytes.indices where bytes[index] &- 97 < 26 { bytes[index] -= 32 }
}
