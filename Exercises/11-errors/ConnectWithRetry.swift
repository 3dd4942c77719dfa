// Exercise 11 connect-with-retry: reach a server that is not there yet, and know when to stop trying.
//
// Calls that you need: getaddrinfo(3), socket(2), fcntl(2), connect(2), poll(2), getsockopt(2) with SO_ERROR, close(2),
// clock_gettime(2).
// Read: Lessons/11-errors/README.md#trying-again      Check: lab check 11 connect-with-retry
import Course
import Sockets

/// - Parameter host: a name or a numeric address.
/// - Parameter policy: how often, how long between two attempts, how long for one address, how long for all.
/// - Parameter sleep: waits so many milliseconds. Every wait between two attempts is made by it.
/// - Returns: a connected descriptor, blocking. The caller closes it.
/// - Throws: the `SocketError` of the last attempt (`ETIMEDOUT` if nobody answered in time), or `ResolveError`. No
///   descriptor is left open then.
func connectWithRetry(
    host: String, port: UInt16, policy: RetryPolicy, sleep: (Milliseconds) -> Void
) throws -> Int32 {
    // Step 1: one attempt: look the name up, try its addresses one after another, each on a socket of its own, each for at
    //     most policy.connectTimeout (as in lesson 06). Close every socket that did not connect.
    todo("step 1: one attempt, over all addresses of the name")

    // Step 2: an attempt that failed: is it worth another one? classify says so. For a name, only EAI_AGAIN is.

    // Step 3: between two attempts wait, at random from half to all of policy.firstWait; twice as long each time, and never
    //     over policy.longestWait. After the last attempt there is nothing to wait for.

    // Step 4: one deadline for everything: policy.timeout from the beginning. No wait goes past it.
}
