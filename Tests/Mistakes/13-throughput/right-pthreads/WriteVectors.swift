import Course
import Sockets

/// The list of vectors is made once, of all that is not empty, and moved along.
func writeVectors(socket: Int32, pieces: [[UInt8]]) throws {
    let full = pieces.filter { !$0.isEmpty }
    try withVectors(of: full[...]) { vectors in
        var first = 0
        while first < vectors.count {
            let end = min(first + 512, vectors.count)
            let count = vectors[first..<end].withUnsafeMutableBufferPointer { part in
                var message = msghdr()
                message.msg_iov = part.baseAddress
                message.msg_iovlen = part.count
                return sendmsg(socket, &message, MSG_NOSIGNAL)
            }
            if count == -1 && errno == EINTR { continue }
            var taken = try check("sendmsg", count)
            while taken > 0 {
                let part = min(taken, vectors[first].iov_len)
                vectors[first].iov_base += part
                vectors[first].iov_len -= part
                taken -= part
                if vectors[first].iov_len == 0 { first += 1 }
            }
        }
    }
}
