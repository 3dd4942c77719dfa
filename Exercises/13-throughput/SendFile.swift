// Exercise 13 send-file: a part of a file, from the kernel straight to the socket.
//
//     header  |  the file's bytes from offset to offset + count
//
// Calls that you need: open(2), fstat(2), send(2) with MSG_MORE for the header, sendfile(2) for the rest, close(2),
// and signal(2), since sendfile takes no MSG_NOSIGNAL.
// Read: Lessons/13-throughput/README.md      Check: lab check 13 send-file
import Course
import Sockets

/// - Parameter socket: connected, blocking. It stays open.
/// - Throws: an error before anything is sent if this is no regular file or does not have this part;
///   `TransferError.cutShort(after:)` if the file becomes shorter meanwhile; `SocketError` if the connection breaks.
func sendFile(socket: Int32, header: [UInt8], path: String, offset: Int, count: Int) throws {
    // Step 1: open the file. Is it a regular file, and are there `count` bytes behind `offset`?
    //     var status = stat();  fstat(file, &status);  status.st_mode & S_IFMT == S_IFREG;  status.st_size
    todo("step 1: open the file")

    // Step 2: send the header. More follows (MSG_MORE), unless `count` is 0.

    // Step 3: send the part. sendfile says how many bytes went.
    //     var position = off_t(offset);  sendfile(socket, file, &position, count)

    // Step 4: what does it mean when sendfile returns 0? Is the file closed, however you leave?
}
