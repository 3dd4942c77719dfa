import Course
import Sockets

func sendFile(socket: Int32, header: [UInt8], path: String, offset: Int, count: Int) throws {
    let file = try check("open", open(path, O_RDONLY | O_CLOEXEC))
    defer { close(file) }
    var status = stat()
    try check("fstat", fstat(file, &status))
    let size = Int(status.st_size)
    guard status.st_mode & S_IFMT == S_IFREG, offset >= 0, offset <= size, count >= 0, count <= size - offset else {
        throw SocketError("sendfile", EINVAL)
    }

    signal(SIGPIPE, SIG_IGN)
    try sendHeader(socket, header, flags: count > 0 ? moreFollows : 0)

    var sent = 0
    while sent < count {
        let taken = sendPart(of: file, from: offset + sent, count: count - sent, to: socket)
        if taken <= 0 && errno == EINTR { continue }
        if try check("sendfile", taken) == 0 { throw TransferError.cutShort(after: sent) }
        sent += taken
    }
}

private func sendHeader(_ socket: Int32, _ header: [UInt8], flags: Int32) throws {
    var sent = 0
    while sent < header.count {
        let count = header[sent...].withUnsafeBytes { send(socket, $0.baseAddress, $0.count, MSG_NOSIGNAL | flags) }
        if count < 0 && errno == EINTR { continue }
        sent += try check("send", count)
    }
}
