import Course
import Sockets

func sendFile(socket: Int32, header: [UInt8], path: String, offset: Int, count: Int) throws {
    let file = open(path, O_RDONLY)
    guard file >= 0 else { throw SocketError("open", errno) }
    defer { close(file) }

    var status = stat()
    guard fstat(file, &status) == 0 else { throw SocketError("fstat", errno) }
    let size = status.st_mode & S_IFMT == S_IFREG ? Int(status.st_size) : -1
    guard (0...max(size, 0)).contains(offset), (0...max(size - offset, 0)).contains(count), size >= 0 else {
        throw SocketError("open", EINVAL)
    }

    var rest = header[...]
    while !rest.isEmpty {
        let taken = rest.withUnsafeBytes {
            send(socket, $0.baseAddress, $0.count, count == 0 ? MSG_NOSIGNAL : MSG_NOSIGNAL | MSG_MORE)
        }
        if taken >= 0 { rest.removeFirst(taken) } else if errno != EINTR { throw SocketError("send", errno) }
    }

    try withoutBrokenPipe {
        var position = off_t(offset)
        while position < offset + count {
            let taken = sendfile(socket, file, &position, min(offset + count - Int(position), 1 << 20))
            if taken == 0 { throw TransferError.cutShort(after: Int(position) - offset) }
            if taken < 0 && errno != EINTR { throw SocketError("sendfile", errno) }
        }
    }
}

/// SIGPIPE goes to the thread that writes. Hold it back in this thread, and take it away if it has come.
private func withoutBrokenPipe(_ body: () throws -> Void) throws {
    var pipe = sigset_t()
    sigemptyset(&pipe)
    sigaddset(&pipe, SIGPIPE)
    var pending = sigset_t()
    sigpending(&pending)
    let already = sigismember(&pending, SIGPIPE) == 1
    var before = sigset_t()
    pthread_sigmask(SIG_BLOCK, &pipe, &before)
    defer {
        if !already {
            var now = timespec()
            while sigtimedwait(&pipe, nil, &now) < 0 && errno == EINTR {}
        }
        pthread_sigmask(SIG_SETMASK, &before, nil)
    }
    try body()
}
