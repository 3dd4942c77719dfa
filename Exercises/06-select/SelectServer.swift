// Exercise 06 select-server: answer every byte in upper case, all clients in one thread.
//
// Calls that you need: socket(2), setsockopt(2), bind(2), listen(2), fcntl(2), select(2), accept(2), recv(2), send(2),
// close(2). For the sets: fdZero(&set), fdSet(descriptor, &set), fdIsSet(descriptor, &set) != 0.
// Read: Lessons/06-select/README.md#the-select-server      Check: lab check 06 select-server
import Course
import Sockets

/// Runs until the process ends. No thread, no child: select alone says whom to serve next.
///
/// - Parameter host: a numeric address, IPv4 or IPv6: bind exactly this one.
/// - Parameter port: in host order; 0 lets the kernel choose.
/// - Throws: `SocketError` if it cannot listen there. What goes wrong with one client is not thrown.
func selectServer(host: String, port: UInt16) throws {
    // Step 1: make the listening socket, as in lesson 04, and make it non-blocking:
    //     _ = fcntl(listener, F_SETFL, fcntl(listener, F_GETFL) | O_NONBLOCK)
    todo("step 1: make a non-blocking listening socket")

    // Step 2: keep for each client what could not be sent yet. For ever:
    //     - fill the set of descriptors that you want to read from: the listener, and every client
    //     - fill the set of those that you have something to send to, and only those
    //     - select(highest + 1, &readable, &writable, nil, nil)

    // Step 3: the listener is readable: accept until EAGAIN; make each client non-blocking. A descriptor of FD_SETSIZE
    //     (1024) or more does not fit into a set: close that client.

    // Step 4: a client is readable: receive once. 0 is its end: send what is pending, then close. Add the answer to
    //     what is pending, and stop reading from a client for whom too much is pending.

    // Step 5: a client is writable: send what is pending; keep what send did not take.
}
