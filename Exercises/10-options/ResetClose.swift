// Exercise 10 reset-close: hang up at once, and let the peer know that something went wrong.
//
// Calls that you need: setsockopt(2) with SO_LINGER, close(2).
// Read: Lessons/10-options/README.md#what-close-does      Check: lab check 10 reset-close
import Course
import Sockets

/// - Parameter socket: a connected TCP socket. It is closed, once, also if this throws.
/// - Throws: `SocketError` if the option cannot be set.
func resetClose(_ socket: Int32) throws {
    // Step 1: set SO_LINGER on, with a time of 0 seconds.
    todo("step 1: set SO_LINGER")

    // Step 2: close. Nothing before that may tell the peer "this is my end".
}
