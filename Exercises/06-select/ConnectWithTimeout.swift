// Exercise 06 connect-with-timeout: connect, but do not wait longer than you want to.
//
// Calls that you need: socket(2), fcntl(2), connect(2), select(2), getsockopt(2) with SO_ERROR, close(2).
// Read: Lessons/06-select/README.md#connecting-with-a-timeout      Check: lab check 06 connect-with-timeout
import Course
import Sockets

/// - Parameter host: a numeric address, IPv4 or IPv6.
/// - Parameter timeout: in milliseconds, for the whole function.
/// - Returns: a connected descriptor, blocking again. The caller closes it.
/// - Throws: `SocketError` with `ECONNREFUSED` if nobody listens there, with `ETIMEDOUT` if nobody answered in time. No
///   descriptor is left open then.
func connectWithTimeout(host: String, port: UInt16, timeout: Milliseconds) throws -> Int32 {
    // Step 1: make a stream socket and set O_NONBLOCK on it.
    todo("step 1: make a non-blocking socket")

    // Step 2: connect. It fails with EINPROGRESS, which means: begun. Any other error but EINTR is an error.

    // Step 3: wait with select until the socket is writable, for what is left of the timeout. select may come back with
    //     EINTR: go on with what is left then. 0 means that the time is over: SocketError("connect", ETIMEDOUT).

    // Step 4: writable means decided. Ask how: getsockopt(socket, SOL_SOCKET, SO_ERROR, …). 0 is connected.

    // Step 5: clear O_NONBLOCK and return the descriptor. On every other way out, close it.
}
