import Course
import Sockets

/// TCP_CORK around header and file; lseek, and the file's own position.
func sendFile(socket: Int32, header: [UInt8], path: String, offset: Int, count: Int) throws {
    let fd = open(path, O_RDONLY)
    if fd < 0 { throw SocketError("open", errno) }
    defer { close(fd) }
    var info = stat()
    if fstat(fd, &info) < 0 { throw SocketError("fstat", errno) }
    if info.st_mode & S_IFMT != S_IFREG { throw SocketError("open", EISDIR) }
    if offset > Int(info.st_size) || offset + count > Int(info.st_size) { throw TransferError.cutShort(after: 0) }
    if lseek(fd, off_t(offset), SEEK_SET) < 0 { throw SocketError("lseek", errno) }

    signal(SIGPIPE, SIG_IGN)
    func cork(_ value: Int32) {
        var value = value
        setsockopt(socket, IPPROTO_TCP, Int32(TCP_CORK), &value, socklen_t(MemoryLayout<Int32>.size))
    }
    cork(1)
    defer { cork(0) }
    var rest = header[...]
    while !rest.isEmpty {
        let n = rest.withUnsafeBytes { write(socket, $0.baseAddress, $0.count) }
        if n < 0 { if errno == EINTR { continue }; throw SocketError("write", errno) }
        rest = rest.dropFirst(n)
    }
    var left = count
    while left > 0 {
        let n = sendfile(socket, fd, nil, left)
        if n < 0 { if errno == EINTR { continue }; throw SocketError("sendfile", errno) }
        if n == 0 { throw TransferError.cutShort(after: count - left) }
        left -= n
    }
}
