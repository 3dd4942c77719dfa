// Exercise 05 send-file: send a file with its name and size before it.
//
//     00 05      61 2e 74 78 74     00 00 00 00 00 00 00 03     61 62 63
//     u16 = 5     a  .  t  x  t     u64 = 3 bytes of content     a  b  c
//
// Calls that you need: open(2), fstat(2), read(2), close(2), and your `sendAll` of lesson 04.
// Read: Lessons/05-framing/README.md      Check: lab check 05 send-file
import Course
import Sockets

/// - Parameter socket: connected. It stays open: another file may follow.
/// - Parameter path: of a regular file. What is sent as the name is its last part only.
/// - Throws: an error if the file cannot be opened or is no regular file (before anything is sent), if it ends before
///   the size that was announced, or if the connection breaks.
func sendFile(socket: Int32, path: String) throws {
    // Step 1: open the file and ask for its size. Nothing is sent if that fails.
    //     var status = stat();  fstat(file, &status);  status.st_size
    todo("step 1: open the file")

    // Step 2: send the length of the name (u16, big-endian: bytes of UTF-8, not characters), the name, and the size
    //     (u64, big-endian).

    // Step 3: send the content, a piece at a time: a file may be larger than your memory. Send exactly as many bytes as
    //     you announced, even if somebody writes to the file meanwhile.

    // Step 4: is the file closed, however you leave?
}
