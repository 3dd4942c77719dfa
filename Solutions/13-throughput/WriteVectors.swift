import Course
import Sockets

/// IOV_MAX: how many pieces Linux and macOS take in one call. One more, and the call fails without sending a byte.
private let mostVectors = 1024

func writeVectors(socket: Int32, pieces: [[UInt8]]) throws {
    // All pieces before `first` have gone, and of that one `sent` bytes.
    var first = 0
    var sent = 0
    while first < pieces.count {
        // Nothing left in it, or nothing from the start: a call with empty pieces only would return 0 for ever.
        if sent == pieces[first].count {
            first += 1
            sent = 0
            continue
        }
        let batch = pieces[first..<min(first + mostVectors, pieces.count)]
        let count = withVectors(of: batch) { vectors in
            // A call may take one piece and a half: the other half comes first now.
            vectors[0].iov_base += sent
            vectors[0].iov_len -= sent
            return sendVectors(socket, &vectors)
        }
        if count < 0 && errno == EINTR { continue }
        sent += try check("sendmsg", count)
        while first < pieces.count && sent >= pieces[first].count {
            sent -= pieces[first].count
            first += 1
        }
    }
}

/// writev(2), but with flags: a peer that has gone is an error then, and not the end of the process (SIGPIPE).
private func sendVectors(_ socket: Int32, _ vectors: inout [iovec]) -> Int {
    vectors.withUnsafeMutableBufferPointer {
        var message = msghdr()
        message.msg_iov = $0.baseAddress
        message.msg_iovlen = .init($0.count)
        return sendmsg(socket, &message, MSG_NOSIGNAL)
    }
}
