import Course
import Sockets
/// sendfile(2)
func sendFile(socket: Int32, path: String) throws {
    let fd = open(path, O_RDONLY)
    guard fd >= 0 else { throw SocketError("open", errno) }
    defer { close(fd) }
    var info = stat()
    guard fstat(fd, &info) == 0, info.st_mode & S_IFMT == S_IFREG else { throw SocketError("fstat", EINVAL) }
    var name = Substring(path)
    if let slash = path.lastIndex(of: "/") { name = path[path.index(after: slash)...] }
    let bytes = Array(name.utf8), size = UInt64(info.st_size)
    var header: [UInt8] = [UInt8(bytes.count >> 8), UInt8(bytes.count & 255)] + bytes
    for shift in stride(from: 56, through: 0, by: -8) {
        header.append(UInt8(truncatingIfNeeded: size >> UInt64(shift)))
    }
    signal(SIGPIPE, SIG_IGN)
    var rest = header[...]
    while !rest.isEmpty {
        let n = rest.withUnsafeBytes { write(socket, $0.baseAddress, $0.count) }
        if n < 0 { if errno == EINTR { continue }; throw SocketError("write", errno) }
        rest = rest.dropFirst(n)
    }
    var left = Int(size)
    while left > 0 {
        let n = sendfile(socket, fd, nil, left)
        if n < 0 { if errno == EINTR { continue }; throw SocketError("sendfile", errno) }
        if n == 0 { throw TransferError.cutShort(after: Int(size) - left) }
        left -= n
    }
}
