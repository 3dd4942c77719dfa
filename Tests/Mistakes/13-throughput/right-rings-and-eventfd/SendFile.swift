import Course
import Sockets

func sendFile(socket: Int32, header: [UInt8], path: String, offset: Int, count: Int) throws {
    let part = try Part(of: path, from: offset, count: count)
    let header = Header(bytes: header, isFollowed: count > 0)
    signal(SIGPIPE, SIG_IGN)
    try header.send(to: socket)
    try part.send(to: socket)
}

/// An open file has one owner, and is closed with it.
private struct Part: ~Copyable {
    private let file: Int32
    private let offset: Int
    private let count: Int

    init(of path: String, from offset: Int, count: Int) throws {
        let file = openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NOCTTY)
        if file < 0 { throw SocketError("openat", errno) }
        do {
            var status = stat()
            try check("fstat", fstat(file, &status))
            guard status.st_mode & S_IFMT == S_IFREG else { throw SocketError("openat", EINVAL) }
            let size = Int(status.st_size)
            guard (0...size).contains(offset), (0...(size - offset)).contains(count) else {
                throw SocketError("sendfile", ERANGE)
            }
        } catch {
            close(file)
            throw error
        }
        self.file = file
        self.offset = offset
        self.count = count
    }

    deinit { close(file) }

    borrowing func send(to socket: Int32) throws {
        var sent = 0
        while sent != count {
            var position = off_t(offset + sent)
            switch sendfile(socket, file, &position, count - sent) {
            case 0: throw TransferError.cutShort(after: sent)
            case let taken where taken > 0: sent += taken
            default:
                let code = errno
                guard code == EINTR else { throw SocketError("sendfile", code) }
            }
        }
    }
}

private struct Header {
    let bytes: [UInt8]
    let isFollowed: Bool

    func send(to socket: Int32) throws {
        var sent = 0
        while sent != bytes.count {
            let outcome: (Int, Int32) = bytes.withUnsafeBytes { all in
                var vector = iovec(
                    iov_base: UnsafeMutableRawPointer(mutating: all.baseAddress! + sent), iov_len: all.count - sent)
                return withUnsafeMutablePointer(to: &vector) {
                    var message = msghdr()
                    message.msg_iov = $0
                    message.msg_iovlen = 1
                    let taken = sendmsg(socket, &message, isFollowed ? MSG_NOSIGNAL | MSG_MORE : MSG_NOSIGNAL)
                    return (taken, errno)
                }
            }
            switch outcome {
            case (0..., _): sent += outcome.0
            case (_, EINTR): continue
            case (_, let code): throw SocketError("sendmsg", code)
            }
        }
    }
}
