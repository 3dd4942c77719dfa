// Exercise 08 file-server: answer GET and HEAD with the files of a folder.
//
// Calls that you need: those of lesson 04, and open(2) with O_NOFOLLOW or realpath(3), fstat(2), read(2) or sendfile(2).
// Read: Lessons/08-http/README.md#the-file-server      Check: lab check 08 file-server
// Try: swift run Lesson08 file-server --port 8000 --root Lessons, then curl -v http://127.0.0.1:8000/
import Course
import Sockets

/// Serves the files below `root`, many clients at once. Runs until the process ends. Your decoder reads the requests.
///
/// - Parameter host: a numeric address, IPv4 or IPv6: bind exactly this one.
/// - Parameter port: in host order; 0 lets the kernel choose.
/// - Throws: `SocketError` if the socket cannot be made or bound.
func fileServer(host: String, port: UInt16, root: String) throws {
    // Step 1: a listener; for each client a thread (or an event loop, as in lesson 07).
    //
    // For each connection:
    // Step 2: receive, feed the decoder, take events out. Each `.end` is a request to answer, in their order; the bytes
    //     behind it belong to the next one. RequestRefused: answer with its status, and close.
    // Step 3: the file: pathNames(target), and then no symbolic link may lead out of `root`. A folder (`/docs/`): its
    //     index.html.
    //     Nothing there: 404. Another method than GET, HEAD, OPTIONS: 405, with Allow.
    // Step 4: the answer: status line, Date, Content-Type, Content-Length, an empty line, the content. HEAD: without the
    //     content. A large file goes out piece by piece. Head and a small content in one send.
    // Step 5: the connection stays open, unless the client said Connection: close, or spoke HTTP/1.0.
    // Step 6: a client gets `Lesson08.clientTimeout` for a whole head, however it trickles, and for the next bytes of a
    //     body; and `Lesson08.answerTimeout` to take more of an answer.
    // Step 7: for those who go on: Last-Modified and If-Modified-Since (304), Range (206, 416).
    todo("step 1: socket, bind, listen")
}
