// Exercise 11 receive-with-timeout: what comes within the time, and why no more came.
//
// Calls that you need: recv(2) with MSG_DONTWAIT, poll(2), clock_gettime(2).
// Read: Lessons/11-errors/README.md#receiving      Check: lab check 11 receive-with-timeout
import Course
import Sockets

/// - Parameter socket: connected; blocking or not. It is the caller's: it stays open, and as it was.
/// - Parameter count: no more than so many bytes are taken from the socket.
/// - Parameter timeout: for all of them, from now on. 0: only what has arrived already.
/// - Returns: the bytes that came, and why there are no more of them.
func receiveWithTimeout(_ socket: Int32, count: Int, timeout: Milliseconds) throws -> ReceivedInTime {
    // Step 1: receive until there are `count` bytes: .complete. A recv may give less than it was asked for.
    todo("step 1: receive until there are enough")

    // Step 2: recv returned 0: .endOfStream, with what came before. -1 and EINTR: call it again.

    // Step 3: -1 and EAGAIN: wait with poll for what is left of the time. If nothing is left: .timedOut, with what came.

    // Step 4: -1 and anything else: .broken, with what came.
}
