import Course
import Foundation
import Sockets

func sendFile(socket: Int32, header: [UInt8], path: String, offset: Int, count: Int) throws {
    signal(SIGPIPE, SIG_IGN)
    guard let handle = FileHandle(forReadingAtPath: path) else { throw SocketError("open", ENOENT) }
    defer { try? handle.close() }
    let file = handle.fileDescriptor

    var status = stat()
    try check("fstat", fstat(file, &status))
    guard status.st_mode & S_IFMT == S_IFREG else { throw SocketError("not a regular file", EINVAL) }
    guard offset >= 0, count >= 0, offset <= status.st_size, count <= Int(status.st_size) - offset else {
        throw SocketError("no such part", EINVAL)
    }
    try handle.seek(toOffset: UInt64(offset))

    var rest = header[...]
    while !rest.isEmpty {
        let taken = rest.withUnsafeBytes {
            send(socket, $0.baseAddress, $0.count, count > 0 ? MSG_MORE | MSG_NOSIGNAL : MSG_NOSIGNAL)
        }
        if taken >= 0 { rest = [] } else if errno != EINTR { throw SocketError("send", errno) }
    }

    // The file's own position moves along: no offset to keep.
    var sent = 0
    while sent < count {
        let taken = sendfile(socket, file, nil, count - sent)
        switch taken {
        case 0: throw TransferError.cutShort(after: sent)
        case -1 where errno == EINTR: continue
        case -1: throw SocketError("sendfile", errno)
        default: sent += taken
        }
    }
}
