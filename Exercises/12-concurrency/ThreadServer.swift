// Exercise 12 thread-server: the same service with a thread for each client.
//
// Calls that you need: Thread.detachNewThread (Foundation), or pthread_create(3).
// Read: Lessons/12-concurrency/README.md#a-thread-for-each      Check: lab check 12 thread-server
import Course
import Foundation
import Sockets

/// Runs until the process ends.
///
/// - Throws: `SocketError` if it cannot listen there. What goes wrong with one client is not thrown.
func threadServer(host: String, port: UInt16) throws {
    // Step 1: the listener, as in iterative-server.
    todo("step 1: make the listener")

    // Step 2: for ever: accept, and start a thread that serves this connection and closes it. What does the thread see if
    //     the connection is in a variable that the loop changes?
}
