// Exercise 11 classify: what to do about an errno.
//
// Begin here: the three other exercises of this lesson may call it. Read errno(3), connect(2), send(2).
// Read: Lessons/11-errors/README.md#seven-answers-to-an-error      Check: lab check 11 classify
import Course
import Sockets

/// - Parameter code: an errno.
/// - Parameter isConnected: the call was made on a connection that is open, and not while connecting (or binding, or
///   making a socket).
/// - Returns: what to do about it.
func classify(code: Int32, isConnected: Bool) throws -> ErrorAdvice {
    // Step 1: one case for each row of the table in the lesson: switch code { case EINTR: return .callAgain … }.
    todo("step 1: say what to do about each errno of the table")

    // Step 2: five of them mean one thing before there is a connection, and another on one that is open.

    // Step 3: whatever is not in the table is .unknown.
}
