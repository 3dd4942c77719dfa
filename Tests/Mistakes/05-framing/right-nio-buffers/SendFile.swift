import Course
import Sockets

func sendFile(socket: Int32, path: String) throws {
    let file = try check("open", open(path, O_RDONLY | O_CLOEXEC))
    defer { close(file) }
    var facts = stat()
    try check("fstat", fstat(file, &facts))
    if facts.st_mode & S_IFMT != S_IFREG { throw SocketError("open", EISDIR) }

    let path = Array(path.utf8)
    let name = Array(path[((path.lastIndex(of: 0x2f) ?? -1) + 1)...])
    let size = Int(facts.st_size)
    let channel = Channel(socket: socket)
    try channel.send([networkBytes(UInt16(name.count)), name, networkBytes(UInt64(size))])

    var (first, second) = ([UInt8](repeating: 0, count: 16_384), [UInt8](repeating: 0, count: 16_384))
    var offset = 0
    while offset < size {
        // Two halves in one call; the second is asked for nothing at the end of the file.
        let missing = size - offset
        let count = first.withUnsafeMutableBytes { one in
            second.withUnsafeMutableBytes { two in
                let vectors = [
                    iovec(iov_base: one.baseAddress, iov_len: min(one.count, missing)),
                    iovec(iov_base: two.baseAddress, iov_len: min(two.count, max(0, missing - one.count))),
                ]
                return preadv(file, vectors, 2, off_t(offset))
            }
        }
        if count < 0 && errno == EINTR { continue }
        if try check("preadv", count) == 0 { throw TransferError.cutShort(after: offset) }
        try channel.send([Array(first.prefix(count)), Array(second.prefix(max(0, count - first.count)))])
        offset += count
    }
}
