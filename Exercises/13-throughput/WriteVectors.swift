// Exercise 13 write-vectors: many pieces, one call, no copy.
//
//     ["HTTP/1.1 200 OK\r\n", "Content-Length: 5\r\n", "\r\n", "hello"]
//        iovec 0                iovec 1                  2       3
//
// Calls that you need: writev(2), or better sendmsg(2), which does the same and takes MSG_NOSIGNAL.
// Read: Lessons/13-throughput/README.md      Check: lab check 13 write-vectors
import Course
import Sockets

/// - Parameter socket: connected, blocking. It stays open.
/// - Parameter pieces: to be sent in order; any of them may be empty, and there may be thousands.
/// - Throws: `SocketError` if the connection breaks.
func writeVectors(socket: Int32, pieces: [[UInt8]]) throws {
    // Step 1: send the first pieces, at most 1024 (IOV_MAX) of them, in one call.
    //     withVectors(of: pieces[first..<end]) { vectors in            // vectors: [iovec]
    //         vectors.withUnsafeMutableBufferPointer {
    //             var message = msghdr()
    //             message.msg_iov = $0.baseAddress
    //             message.msg_iovlen = .init($0.count)
    //             return sendmsg(socket, &message, MSG_NOSIGNAL)
    //         }
    //     }
    todo("step 1: several pieces in one call")

    // Step 2: the call says how many bytes it took. Which piece is the first now, and where in it do you go on?
    //     vectors[0].iov_base += sent;  vectors[0].iov_len -= sent

    // Step 3: empty pieces. What does the call return if there is nothing in any of them?
}
