import Course
import Sockets

/// The header by sendmsg with MSG_MORE; SIGPIPE blocked in this thread while it runs.
func sendFile(socket: Int32, header: [UInt8], path: String, offset: Int, count: Int) throws {
    let file = try check("open", open(path, O_RDONLY | O_CLOEXEC))
    defer { close(file) }
    let end = try check("lseek", lseek(file, 0, SEEK_END))
    var status = stat()
    guard fstat(file, &status) == 0, status.st_mode & S_IFMT == S_IFREG, offset + count <= Int(end) else {
        throw SocketError("sendfile", EINVAL)
    }

    var pipe = sigset_t()
    var before = sigset_t()
    sigemptyset(&pipe)
    sigaddset(&pipe, SIGPIPE)
    pthread_sigmask(SIG_BLOCK, &pipe, &before)
    defer {
        // One that is pending belongs to us: it is taken before the mask is put back.
        var none = timespec()
        while sigtimedwait(&pipe, nil, &none) == SIGPIPE {}
        pthread_sigmask(SIG_SETMASK, &before, nil)
    }

    var sent = 0
    while sent < header.count {
        let flags = count == 0 ? 0 : MSG_MORE as Int32
        let taken = withVectors(of: [Array(header[sent...])]) { vectors in
            vectors.withUnsafeMutableBufferPointer {
                var message = msghdr()
                message.msg_iov = $0.baseAddress
                message.msg_iovlen = 1
                return sendmsg(socket, &message, flags)
            }
        }
        if taken < 0 && errno == EINTR { continue }
        sent += try check("sendmsg", taken)
    }
    var position = off_t(offset)
    let last = off_t(offset + count)
    while position < last {
        let taken = sendfile(socket, file, &position, min(Int(last - position), 1 << 16))
        if taken < 0 && errno == EINTR { continue }
        if try check("sendfile", taken) == 0 { throw TransferError.cutShort(after: Int(position) - offset) }
    }
}
