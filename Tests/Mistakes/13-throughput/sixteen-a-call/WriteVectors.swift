import Course
import Sockets

/// What POSIX promises for every system (_XOPEN_IOV_MAX). Some have more; this is never too many.
private let piecesPerCall = 16

func writeVectors(socket: Int32, pieces: [[UInt8]]) throws {
    var queue = pieces[...]
    var gone = 0  // of the first one
    while let first = queue.first {
        if gone >= first.count {
            gone -= first.count
            queue.removeFirst()
            continue
        }
        gone += try send(Array(queue.prefix(piecesPerCall)), skipping: gone, to: socket)
    }
}

/// One call that was not interrupted. The first piece is longer than `skipping`.
private func send(_ batch: [[UInt8]], skipping: Int, to socket: Int32) throws -> Int {
    while true {
        var code: Int32 = 0
        let count = withVectors(of: batch[...]) { vectors -> Int in
            vectors[0].iov_base += skipping
            vectors[0].iov_len -= skipping
            let length = vectors.count
            let count = vectors.withUnsafeMutableBufferPointer { list -> Int in
                var message = msghdr()
                message.msg_iov = list.baseAddress
                message.msg_iovlen = .init(length)
                return sendmsg(socket, &message, MSG_NOSIGNAL)
            }
            code = errno
            return count
        }
        if count >= 0 { return count }
        if code != EINTR { throw SocketError("sendmsg", code) }
    }
}
