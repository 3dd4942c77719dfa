import Foundation
import Sockets

/// Many clients at once: a thread each, so that a recv that waits for one client, or a send that waits for another to read,
/// stops nobody else.
///
/// Nothing bounds the number of threads here. Lesson 12 puts a pool in their place.
func threadedServer(host: String, port: UInt16) throws {
    let listener = try makeListener(host: host, port: port)
    defer { close(listener) }
    while true {
        // A constant of its own for every turn of the loop: a variable outside of it would be overwritten by the next
        // accept while the last thread is still starting, and one client would get two threads and another none.
        let connection = try acceptClient(listener)
        Thread.detachNewThread { serve(connection) }
    }
}
