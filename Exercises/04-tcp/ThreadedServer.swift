// Exercise 04 threaded-server: the same service, for many clients at once, with a thread for each.
//
// Calls that you need: accept(2), and Thread from Foundation (or pthread_create(3)).
// Read: Lessons/04-tcp/README.md#a-thread-for-each      Check: lab check 04 threaded-server
import Course
import Foundation
import Sockets

/// Runs until the process ends. A client that is silent, or that does not read its answers, stops nobody else.
///
/// - Throws: `SocketError` if it cannot listen there. What goes wrong with one client is not thrown.
func threadedServer(host: String, port: UInt16) throws {
    // Step 1: makeListener, from UppercaseServer.swift.
    todo("step 1: make the listener")

    // Step 2: for ever: accept, and serve the client on a new thread:
    //     Thread.detachNewThread { serve(connection) }
    //     Who owns `connection` from then on, and who closes it?

    // Step 3: accept can fail when too many descriptors are open (EMFILE). The clients you have should not pay for that.
}
