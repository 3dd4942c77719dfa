// Exercise 12 fork-server: the same service with a child process for each client.
//
// Calls that you need: forkProcess() (which is fork(2)), close(2), waitpid(2), _exit(2).
// Read: Lessons/12-concurrency/README.md#a-process-for-each      Check: lab check 12 fork-server
import Course
import Sockets

/// Runs until the process ends. Leaves no zombies.
///
/// - Throws: `SocketError` if it cannot listen there. What goes wrong with one client is not thrown.
func forkServer(host: String, port: UInt16) throws {
    // Step 1: the listener, as in iterative-server.
    todo("step 1: make the listener")

    // Step 2: see to it that children that have ended are waited for, as many as there are:  waitpid(-1, nil, WNOHANG)

    // Step 3: for ever: accept, then forkProcess(): 0 in the child, the child's number in the parent, -1 if there is none.

    // Step 4: the child: close the descriptor that is not its business, serve, _exit(0).

    // Step 5: the parent: close the descriptor that is not its business any more.
}
