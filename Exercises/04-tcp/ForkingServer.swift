// Exercise 04 forking-server: the same service, for many clients at once, with a child process for each.
//
// Calls that you need: accept(2), forkProcess() (which is fork(2)), close(2), waitpid(2), _exit(2).
// Read: Lessons/04-tcp/README.md#a-process-for-each      Check: lab check 04 forking-server
import Course
import Sockets

/// Runs until the process ends. Leaves no zombies.
///
/// - Throws: `SocketError` if it cannot listen there. What goes wrong with one client is not thrown.
func forkingServer(host: String, port: UInt16) throws {
    // Step 1: makeListener, from UppercaseServer.swift.
    todo("step 1: make the listener")

    // Step 2: for ever: accept, then forkProcess(), which returns twice: 0 in the child, the child's number in the parent.

    // Step 3: in the child: one of the two sockets is not the child's business: close it. Serve; then _exit(0).

    // Step 4: in the parent: which one do you close here? (What would the client see if you did not?)
    //     And forkProcess() can fail: -1.

    // Step 5: a child that has ended is a zombie until you ask for it:  waitpid(-1, nil, WNOHANG)
    //     When do you ask? A handler for SIGCHLD is one answer:  signal(SIGCHLD) { _ in … }
    //     (accept then fails with EINTR now and then.)
}
