import Course
import Sockets

func sendFile(socket: Int32, path: String) throws {
    let file = Int32(try uninterrupted("open") { Int(open(path, O_RDONLY | O_CLOEXEC)) })
    defer { close(file) }
    var facts = stat()
    try check("fstat", fstat(file, &facts))
    if facts.st_mode & S_IFMT == S_IFDIR { throw SocketError("open", EISDIR) }
    if facts.st_mode & S_IFMT != S_IFREG { throw SocketError("open", EINVAL) }
    let size = UInt64(facts.st_size)

    // From behind: everything after the last slash (a path of a regular file does not end in one).
    var name: [UInt8] = []
    for byte in path.utf8.reversed() {
        if byte == 0x2f { break }
        name.append(byte)
    }
    name.reverse()

    let header = digits(UInt64(name.count), count: 2) + name + digits(size, count: 8)
    // MSG_MORE: the header may wait for the content, if there is any.
    try sendAll(socket, header, flags: size > 0 ? Int32(MSG_MORE) : 0)

    let room = UnsafeMutableRawBufferPointer.allocate(byteCount: 128 * 1024, alignment: 16)
    defer { room.deallocate() }
    var position: UInt64 = 0
    while position < size {
        let wanted = Int(min(UInt64(room.count), size - position))
        let got = try uninterrupted("pread") { pread(file, room.baseAddress, wanted, off_t(position)) }
        guard got > 0 else { throw TransferError.cutShort(after: Int(position)) }
        try drain(UnsafeRawBufferPointer(rebasing: room[..<got]), "send") {
            send(socket, $0, $1, Int32(MSG_NOSIGNAL))
        }
        position += UInt64(got)
    }
}
