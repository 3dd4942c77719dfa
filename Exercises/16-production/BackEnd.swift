// Exercise 16 back-end: an HTTP server that a proxy can rely on, and that can be stopped while it is asked.
//
// Calls that you need: those of lesson 04's threaded-server, and poll(2): each thread waits for its client or for stop.
// Given: the request decoder of lesson 08. Yours does as well: copy its files into this folder and call your own.
//     var decoder = Solution08.reference.makeRequestDecoder(RequestLimits())
//     decoder.feed(bytes)
//     while let event = try decoder.next() { … }      // .head, .body, .end
// Read: Lessons/16-production/README.md#a-back-end
// Check: lab check 16 back-end
import Course
import Foundation
import Solution08
import Sockets

/// Returns when `stop` has become readable and what was begun is finished.
///
/// - Parameter name: how it calls itself in the answer to `GET /`.
/// - Parameter stop: what stopDescriptor returned. Poll it, never read it.
/// - Throws: `SocketError` if the socket cannot be made or bound.
func backEnd(host: String, port: UInt16, name: String, stop: Int32) throws {
    // Step 1: a listener as in lesson 04; wait for it or for stop, accept, a thread for each client.
    todo("step 1: socket, bind, listen, poll, accept")

    // Step 2: in the thread: feed the decoder, and answer each request on the same connection.
    //     GET /           200, "NAME ADDRESS SCHEME\n"  (forwardedClient with Lesson16.trust)
    //     GET /health     200, "ok\n"
    //     POST /upper     200, the body in upper case
    //     anything else   404
    // A request that the decoder refuses: its status, Connection: close, and the end.
    // todo("step 2: requests and answers, with Content-Length")

    // Step 3: stop: close the listener first. Close the connections that wait between two requests. Finish what was begun,
    // with Connection: close in the answer (and 503 for GET /health), and close.
    // todo("step 3: stop")

    // Step 4: whoever is not finished Lesson16.stopPatience milliseconds after the stop is cut off: shutdown(client, SHUT_RDWR)
    // wakes its thread. Return when the last thread is done.
    // todo("step 4: not for ever")
}
