// Exercise 12 pool-server: a fixed number of threads, a queue with a bound, and a stop that finishes what was begun.
//
// Calls that you need: NSCondition (wait, broadcast), Thread, poll(2), shutdown(2).
// Read: Lessons/12-concurrency/README.md#a-pool-of-threads      Check: lab check 12 pool-server
import Course
import Foundation
import Sockets

/// Runs until it is asked to stop.
///
/// - Parameter limits: threads that serve, connections that may wait for them, and how many milliseconds a stop may take.
/// - Parameter stop: becomes readable when the server is to stop, and stays so. Do not read from it, do not close it.
/// - Throws: `SocketError` if it cannot listen there. What goes wrong with one client is not thrown.
func poolServer(host: String, port: UInt16, limits: PoolLimits, stop: Int32) throws {
    // Step 1: the listener, as in iterative-server.
    todo("step 1: make the listener")

    // Step 2: a queue of connections: an array, a bound, and an NSCondition that guards them. To take one waits while the
    //     queue is empty, to put one in waits while it is full. Always: while <not yet> { condition.wait() }

    // Step 3: limits.threads threads: take a connection, serve it, close it; for ever.

    // Step 4: wait for room in the queue first, and only then accept: so the rest of the crowd waits in the kernel.

    // Step 5: the stop. accept cannot wait for two descriptors; poll can:
    //     var waited = [listener, stop].map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
    //     And whoever waits for room has to hear of it, too.

    // Step 6: after the stop: close the listener. Wake the threads that wait in recv: shutdown(connection, SHUT_RD) makes recv
    //     give what has arrived, and then 0. Wait for the threads until limits.grace is over.

    // Step 7: who still has not taken its answer then: shutdown(connection, SHUT_RDWR) ends the send that waits. Return.
    //     (Could a connection that you shut down have been closed by its thread already, and its number be another's?)
}
