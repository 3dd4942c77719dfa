// Exercise 05 framed-echo-server: send every frame back as it came.
//
// Calls that you need: socket(2), setsockopt(2), bind(2), listen(2), accept(2), recv(2), send(2), close(2), a thread
// a client (`Thread.detachNewThread` of Foundation, or pthread_create(3)), and your FrameDecoder and encodeFrame.
// Bring `sendAll` from lesson 04: copy its file from Exercises/04-tcp into this folder.
// Read: Lessons/05-framing/README.md      Check: lab check 05 framed-echo-server
import Course
import Sockets

/// The longest message that the server takes: 1 MiB.
let largestMessage = 1 << 20

/// Runs until the process ends. Serves many clients at once: one that is silent in the middle of a frame holds up
/// nobody else.
///
/// - Parameter host: a numeric address, IPv4 or IPv6: bind exactly this one.
/// - Parameter port: in host order; 0 lets the kernel choose.
/// - Throws: `SocketError` if it cannot listen there.
func framedEchoServer(host: String, port: UInt16) throws {
    // Step 1: a listening socket, as in lesson 04.
    todo("step 1: listen")

    // Step 2: for ever: accept a client, and give it a thread and a FrameDecoder of its own.

    // Step 3: in that thread: recv, feed the decoder, and send back every message that is complete now, as a frame.
    //     One recv may complete no message, one, or fifty.

    // Step 4: the client ended its stream, the connection broke, or a frame was too long: close the connection. The
    //     server lives on.
}
