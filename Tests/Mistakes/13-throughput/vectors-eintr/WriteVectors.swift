import Course
import Sockets

private let mostVectors = 1024

func writeVectors(socket: Int32, pieces: [[UInt8]]) throws {
    var first = 0
    var sent = 0
    while first < pieces.count {
        if sent == pieces[first].count {
            first += 1
            sent = 0
            continue
        }
        let batch = pieces[first..<min(first + mostVectors, pieces.count)]
        let count = withVectors(of: batch) { vectors in
            vectors[0].iov_base += sent
            vectors[0].iov_len -= sent
            return sendVectors(socket, &vectors)
        }
        sent += try check("sendmsg", count)
        while first < pieces.count && sent >= pieces[first].count {
            sent -= pieces[first].count
            first += 1
        }
    }
}

private func sendVectors(_ socket: Int32, _ vectors: inout [iovec]) -> Int {
    vectors.withUnsafeMutableBufferPointer {
        var message = msghdr()
        message.msg_iov = $0.baseAddress
        message.msg_iovlen = .init($0.count)
        return sendmsg(socket, &message, MSG_NOSIGNAL)
    }
}
