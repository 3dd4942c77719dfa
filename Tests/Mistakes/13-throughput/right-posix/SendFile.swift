import Course
import Sockets

func sendFile(socket: Int32, header: [UInt8], path: String, offset: Int, count: Int) throws {
    let file = try check("open", open(path, O_RDONLY | O_CLOEXEC))
    defer { close(file) }
    var about = stat()
    try check("fstat", fstat(file, &about))
    guard about.st_mode & S_IFMT == S_IFREG else { throw SocketError("open", EISDIR) }
    guard offset >= 0, count >= 0, offset <= about.st_size, count <= about.st_size - offset else {
        throw SocketError("lseek", EINVAL)
    }
    try check("lseek", lseek(file, offset, SEEK_SET))
    signal(SIGPIPE, SIG_IGN)

    cork(socket, 1)
    defer { cork(socket, 0) }
    var gone = 0
    while gone < header.count {
        let taken = header.withUnsafeBytes { write(socket, $0.baseAddress! + gone, $0.count - gone) }
        if taken < 0 && errno == EINTR { continue }
        gone += try check("write", taken)
    }
    var left = count
    while left > 0 {
        // No position of our own: the file's moves on by what went.
        let taken = sendfile(socket, file, nil, left)
        if taken < 0 && errno == EINTR { continue }
        guard try check("sendfile", taken) > 0 else { throw TransferError.cutShort(after: count - left) }
        left -= taken
    }
}

private func cork(_ socket: Int32, _ value: Int32) {
    var value = value
    setsockopt(socket, IPPROTO_TCP, TCP_CORK, &value, socklen_t(MemoryLayout<Int32>.size))
}
