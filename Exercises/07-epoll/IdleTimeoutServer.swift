// Exercise 07 idle-timeout-server: close clients that have nothing to say.
//
// Calls that you need: those of EpollServer.swift, and clock_gettime(2) with CLOCK_MONOTONIC.
// Read: Lessons/07-epoll/README.md#silent-clients      Check: lab check 07 idle-timeout-server
import Course
import Sockets

/// Runs until the process ends, as `epollServer` does, and closes every client that has sent nothing for `timeout`
/// milliseconds, or has sent nothing at all for so long since it was accepted.
func idleTimeoutServer(host: String, port: UInt16, timeout: Milliseconds) throws {
    // Step 1: share the loop of epollServer; keep for each client when it was heard last.
    todo("step 1: remember when each client was heard last")

    // Step 2: who is due first, and when? Wait in epoll_wait just so long; without clients, for ever (-1).

    // Step 3: after epoll_wait, close everybody whose time is over.
}
