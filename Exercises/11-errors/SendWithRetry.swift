// Exercise 11 send-with-retry: all bytes, or how many of them.
//
// Calls that you need: send(2) with MSG_NOSIGNAL and MSG_DONTWAIT, poll(2), clock_gettime(2).
// Read: Lessons/11-errors/README.md#sending      Check: lab check 11 send-with-retry
import Course
import Sockets

/// - Parameter socket: connected; blocking or not. It is the caller's: it stays open, and as it was.
/// - Parameter timeout: for all of it.
/// - Throws: `SendError.timedOut` or `SendError.failed`, with the number of bytes that the kernel had taken by then.
func sendWithRetry(_ socket: Int32, _ bytes: [UInt8], timeout: Milliseconds) throws {
    // Step 1: send what is left, until nothing is. A send may take less than it was given.
    todo("step 1: send until everything is sent")

    // Step 2: -1 and EINTR: call it again. -1 and EAGAIN: wait with poll until the socket is writable, for what is left of
    //     the time; if nothing is left, throw SendError.timedOut.

    // Step 3: -1 and anything else: throw SendError.failed. A peer that has gone must not end the program.
}
