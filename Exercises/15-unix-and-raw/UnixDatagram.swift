// Exercise 15 unix-datagram: ask a server by datagram, with an address for its answer.
//
// Calls that you need: socket(2) with AF_UNIX and SOCK_DGRAM, bind(2), connect(2), send(2), poll(2), recv(2), close(2),
// unlink(2).
// Read: Lessons/15-unix-and-raw/README.md#datagrams      Check: lab check 15 unix-datagram
import Course
import Sockets

/// Sends one datagram and returns the answer.
///
/// - Parameter path: where the server is.
/// - Parameter own: a path where nothing is yet: your socket's. It is gone when the function returns or throws.
/// - Parameter timeout: how long the whole may take.
/// - Throws: `SocketError`: `ETIMEDOUT` without an answer in time, `ENOENT` or `ECONNREFUSED` if there is no server.
func datagramRequest(message: [UInt8], to path: String, from own: String, timeout: Milliseconds) throws -> [UInt8] {
    // Step 1: both addresses, and a socket that is bound to `own`. Without a name nobody can answer you.
    todo("step 1: a socket that is bound to its own path")

    // Step 2: connect it to the server: from then on it takes datagrams from there only.

    // Step 3: send the message, wait with poll until the answer comes or the time is up, receive it. An answer may have
    //     up to 200,000 bytes.

    // Step 4: on every way out: close the socket, remove `own`. But not a file that you have not made.
}
