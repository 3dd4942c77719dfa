import Course
import Sockets

func writeVectors(socket: Int32, pieces: [[UInt8]]) throws {
    signal(SIGPIPE, SIG_IGN)  // writev has no flags
    var left = pieces.filter { !$0.isEmpty }[...]
    var gone = 0  // bytes of the first
    while !left.isEmpty {
        let count = withVectors(of: left.prefix(1024)) { vectors -> Int in
            vectors[0].iov_base += gone
            vectors[0].iov_len -= gone
            return writev(socket, vectors, Int32(vectors.count))
        }
        guard count >= 0 else {
            if errno == EINTR { continue }
            throw SocketError("writev", errno)
        }
        gone += count
        while let first = left.first, gone >= first.count {
            gone -= first.count
            left = left.dropFirst()
        }
    }
}
