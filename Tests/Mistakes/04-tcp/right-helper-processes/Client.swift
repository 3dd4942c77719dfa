import Sockets

/// A helper process asks while this one hears. Both have the connection; what became of the question stands in a page of
/// memory that both see.
func client(message: [UInt8], host: String, port: UInt16) throws -> [UInt8] {
    let address = try SocketAddress(host: host, port: port)
    let connection = try check("socket", socket(address.family, SOCK_STREAM, 0))
    defer { close(connection) }
    try join(connection, address)

    let size = 4096
    guard let page = mmap(nil, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0), page != MAP_FAILED
    else {
        throw SocketError("mmap", errno)
    }
    defer { munmap(page, size) }
    let outcome = page.bindMemory(to: Int32.self, capacity: 1)
    // Until the helper says otherwise: it died before it was done.
    outcome.pointee = EIO

    let helper = message.withUnsafeBytes { question in
        let number = forkProcess()
        if number == 0 {
            outcome.pointee = ask(connection, question)
            _exit(0)
        }
        return number
    }
    if helper < 0 { throw SocketError("fork", errno) }

    var answer: [UInt8] = []
    var failure: Int32 = 0
    let room = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 << 10, alignment: 16)
    defer { room.deallocate() }
    while true {
        let count = recv(connection, room.baseAddress, room.count, 0)
        if count > 0 {
            answer.append(contentsOf: room[..<count])
        } else if count == 0 {
            break
        } else if errno != EINTR {
            failure = errno
            // Wakes the helper, if it waits for room.
            shutdown(connection, SHUT_RDWR)
            break
        }
    }
    while waitpid(helper, nil, 0) < 0 && errno == EINTR {}
    if failure != 0 { throw SocketError("recv", failure) }
    if outcome.pointee != 0 { throw SocketError("send", outcome.pointee) }
    return answer
}

/// All of the question, and that it was all. 0, or the errno. Runs after fork: system calls only.
private func ask(_ connection: Int32, _ question: UnsafeRawBufferPointer) -> Int32 {
    var sent = 0
    while sent < question.count {
        let count = send(connection, question.baseAddress! + sent, question.count - sent, MSG_NOSIGNAL)
        if count >= 0 {
            sent += count
        } else if errno != EINTR {
            return errno
        }
    }
    return shutdown(connection, SHUT_WR) == 0 ? 0 : errno
}

private func join(_ connection: Int32, _ address: SocketAddress) throws {
    if address.withSockaddr({ connect(connection, $0, $1) }) == 0 { return }
    let reason = errno
    guard reason == EINTR else { throw SocketError("connect", reason) }
    var (entry, ready) = (pollfd(fd: connection, events: Int16(POLLOUT), revents: 0), Int32(0))
    repeat { ready = poll(&entry, 1, -1) } while ready < 0 && errno == EINTR
    try check("poll", ready)
    var (error, length) = (Int32(0), socklen_t(4))
    try check("getsockopt", getsockopt(connection, SOL_SOCKET, SO_ERROR, &error, &length))
    if error != 0 { throw SocketError("connect", error) }
}
