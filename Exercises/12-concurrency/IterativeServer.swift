// Exercise 12 iterative-server: upper case for one client after another: what the other four are measured against.
//
// Calls that you need: socket(2), bind(2), listen(2), accept(2), recv(2), send(2), close(2). Your code of lesson 04 may move
// in here: what you write for listening, accepting and serving one client, the next three exercises use again.
// Read: Lessons/12-concurrency/README.md#one-after-another      Check: lab check 12 iterative-server
import Course
import Sockets

/// Runs until the process ends.
///
/// - Parameter host: a numeric address, IPv4 or IPv6: bind exactly this one.
/// - Parameter port: in host order; 0 lets the kernel choose.
/// - Throws: `SocketError` if it cannot listen there. What goes wrong with one client is not thrown.
func iterativeServer(host: String, port: UInt16) throws {
    // Step 1: a listening socket; a function of its own, so that the other servers can call it:
    //     let address = try SocketAddress(host: host, port: port)
    todo("step 1: make a listening socket")

    // Step 2: for ever: accept the next client. EINTR, ECONNABORTED: go on. No descriptor left (EMFILE): wait a little.

    // Step 3: serve it, in a function that is given the connection: each byte that it sends goes back, in upper case if it
    //     is one of a…z, until recv returns 0 or fails.

    // Step 4: close the connection. Who closes it in the other servers: serve, or its caller? Decide now.
}
