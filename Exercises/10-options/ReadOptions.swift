// Exercise 10 read-options: ask a socket what it is set to.
//
// Calls that you need: getsockopt(2), fcntl(2) with F_GETFL.
// Read: Lessons/10-options/README.md#reading-an-option      Check: lab check 10 read-options
import Course
import Sockets

/// - Parameter socket: any socket. It stays open, and as it is.
/// - Returns: what the kernel says, in its own numbers.
/// - Throws: `SocketError`, with the option's name in `call`: `SocketError("getsockopt(SO_SNDBUF)", errno)`.
func readOptions(_ socket: Int32) throws -> SocketState {
    // Step 1: SO_SNDBUF, SO_RCVBUF, SO_REUSEPORT, SO_ACCEPTCONN: an Int32 each. The last parameter goes in as the room that
    // you have, and comes back as what was written:
    //     var value: Int32 = 0
    //     var size = socklen_t(MemoryLayout<Int32>.size)
    //     getsockopt(socket, SOL_SOCKET, SO_SNDBUF, &value, &size)
    todo("step 1: read the sizes of the two buffers")

    // Step 2: SO_LINGER is a pair (linger), SO_RCVTIMEO and SO_SNDTIMEO are times (timeval). How many milliseconds are they?

    // Step 3: TCP_NODELAY. A socket that is not TCP answers with ENOPROTOOPT or EOPNOTSUPP: then it has none (nil).

    // Step 4: SO_KEEPALIVE, and only if it is on, its timers.

    // Step 5: O_NONBLOCK is one bit of fcntl(socket, F_GETFL).
}
