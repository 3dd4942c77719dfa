import Course
import Sockets

func writeVectors(socket: Int32, pieces: [[UInt8]]) throws {
    var from = 0
    while from < pieces.count {
        let to = min(from + 1024, pieces.count)
        try withVectors(of: pieces[from..<to]) { vectors in
            var left = vectors.filter { $0.iov_len > 0 }[...]
            while let first = left.first {
                var count = gather(socket, left, MSG_NOSIGNAL)
                if count < 0 && errno == EINTR { continue }
                try check("sendmsg", count)
                if count < first.iov_len {
                    left[left.startIndex].iov_base += count
                    left[left.startIndex].iov_len -= count
                    continue
                }
                while let vector = left.first, count >= vector.iov_len {
                    count -= vector.iov_len
                    left.removeFirst()
                }
                if count > 0 {
                    left[left.startIndex].iov_base += count
                    left[left.startIndex].iov_len -= count
                }
            }
        }
        from = to
    }
}
