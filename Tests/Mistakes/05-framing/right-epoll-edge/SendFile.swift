import Course
import Sockets

/// sendfile(2): the content does not come into this process.
func sendFile(socket: Int32, path: String) throws {
    let file = try check("open", open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK))
    defer { close(file) }
    var status = stat()
    try check("fstat", fstat(file, &status))
    guard status.st_mode & S_IFMT == S_IFREG else { throw SocketError("open", EINVAL) }
    let size = Int(status.st_size)
    let bytes = Array(path.utf8)
    let name = bytes[((bytes.lastIndex(of: 0x2f) ?? -1) + 1)...]
    let header =
        [UInt8(name.count >> 8), UInt8(name.count & 0xff)] + name
        + (0..<8).map { UInt8(truncatingIfNeeded: size >> (56 - 8 * $0)) }
    try sendAll(socket, header)

    try withoutBrokenPipeSignal {
        var position: off_t = 0
        while Int(position) < size {
            let count = sendfile(socket, file, &position, min(size - Int(position), 1 << 20))
            if count < 0 && errno == EINTR { continue }
            if try check("sendfile", count) == 0 { throw TransferError.cutShort(after: Int(position)) }
        }
    }
}

/// sendfile has no MSG_NOSIGNAL. So the signal, which goes to this very thread, is held back, and if it has come it is taken
/// away before it is let through again; one that was pending before is left alone.
private func withoutBrokenPipeSignal(_ body: () throws -> Void) throws {
    var pipeOnly = sigset_t()
    sigemptyset(&pipeOnly)
    sigaddset(&pipeOnly, SIGPIPE)
    var pending = sigset_t()
    sigemptyset(&pending)
    sigpending(&pending)
    let wasPending = sigismember(&pending, SIGPIPE) == 1
    var before = sigset_t()
    pthread_sigmask(SIG_BLOCK, &pipeOnly, &before)
    defer {
        if !wasPending {
            var now = timespec()
            while sigtimedwait(&pipeOnly, nil, &now) < 0 && errno == EINTR {}
        }
        pthread_sigmask(SIG_SETMASK, &before, nil)
    }
    try body()
}
