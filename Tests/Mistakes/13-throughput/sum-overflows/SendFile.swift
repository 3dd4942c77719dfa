import Course
import Sockets

func sendFile(socket: Int32, header: [UInt8], path: String, offset: Int, count: Int) throws {
    let fd = try check("open", open(path, O_RDONLY))
    defer { close(fd) }
    var info = stat()
    try check("fstat", fstat(fd, &info))
    guard info.st_mode & S_IFMT == S_IFREG else { throw SocketError("open", EINVAL) }
    guard offset >= 0, count >= 0, offset + count <= Int(info.st_size) else { throw SocketError("sendfile", EINVAL) }
    signal(SIGPIPE, SIG_IGN)

    if count > 0 { try cork(socket, 1) }
    try sendAll(socket, header)
    try copyPart(fd, socket, offset, count)
    if count > 0 { try cork(socket, 0) }
}

private func cork(_ socket: Int32, _ value: Int32) throws {
    var value = value
    try check("setsockopt(TCP_CORK)", setsockopt(socket, IPPROTO_TCP, TCP_CORK, &value, 4))
}

private func sendAll(_ socket: Int32, _ bytes: [UInt8]) throws {
    var left = bytes[...]
    while !left.isEmpty {
        let n = left.withUnsafeBytes { send(socket, $0.baseAddress, $0.count, MSG_NOSIGNAL) }
        if n < 0 && errno == EINTR { continue }
        left = left.dropFirst(try check("send", n))
    }
}

private func copyPart(_ fd: Int32, _ socket: Int32, _ offset: Int, _ count: Int) throws {
    var position = off_t(offset)
    let end = offset + count
    while position < end {
        let n = sendfile(socket, fd, &position, end - Int(position))
        if n < 0 && errno == EINTR { continue }
        if try check("sendfile", n) == 0 { throw TransferError.cutShort(after: Int(position) - offset) }
    }
}
