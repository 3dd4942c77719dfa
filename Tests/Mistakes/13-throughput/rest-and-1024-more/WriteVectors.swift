import Course
import Sockets

private func sendVectors(_ socket: Int32, _ vectors: UnsafeMutableBufferPointer<iovec>) -> Int {
    var message = msghdr()
    message.msg_iov = vectors.baseAddress
    message.msg_iovlen = .init(vectors.count)
    return sendmsg(socket, &message, MSG_NOSIGNAL)
}

func writeVectors(socket: Int32, pieces: [[UInt8]]) throws {
    var rest: [UInt8] = []  // of a piece that has gone in part
    var next = 0  // the first piece that has not been begun
    while true {
        while next < pieces.count && pieces[next].isEmpty { next += 1 }
        if rest.isEmpty && next == pieces.count { return }

        let batch = pieces[next..<min(next + 1024, pieces.count)]
        let count = withVectors(of: rest.isEmpty ? batch : ([rest] + batch)[...]) { vectors in
            vectors.withUnsafeMutableBufferPointer { sendVectors(socket, $0) }
        }
        if count < 0 && errno == EINTR { continue }
        var gone = try check("sendmsg", count)

        if gone < rest.count {
            rest.removeFirst(gone)
            continue
        }
        gone -= rest.count
        rest = []
        while next < pieces.count && gone >= pieces[next].count {
            gone -= pieces[next].count
            next += 1
        }
        if gone > 0 {
            rest = Array(pieces[next][gone...])
            next += 1
        }
    }
}
