// Exercise 09 echo-server: a WebSocket server that sends every message back.
//
// Calls that you need: those of any server of lessons 04, 06 or 07. Threads or events: as you like.
// Read: Lessons/09-websocket/README.md#the-echo-server      Check: lab check 09 echo-server
import Course
import Sockets

/// Runs until the process ends; serves many clients at once.
///
/// - Parameter host: a numeric address, IPv4 or IPv6: bind exactly this one.
/// - Parameter port: in host order; 0 lets the kernel choose.
/// - Throws: `SocketError` if it cannot listen there. What goes wrong with one client is not thrown.
func echoServer(host: String, port: UInt16) throws {
    // Step 1: make a listening socket, and accept clients.
    todo("step 1: make a listening socket")

    // Step 2: receive until `serverHandshake(received, allowedOrigins: nil)` is no longer `.incomplete`. Send its answer.
    //     Bytes behind the request are the first frames: feed them to a FrameDecoder(role: .server,
    //     limit: Lesson09.messageLimit).

    // Step 3: receive, feed, and ask for events until nil. A text or binary message goes back in one frame with the same
    //     opcode; a ping is answered by a pong with the same payload; a pong is no question.

    // Step 4: a close is answered by a close with the same code (empty, if it was); then the connection is closed.

    // Step 5: a WebSocketError: send a close frame with its `closeCode`, and close the connection.

    // Step 6: the end of the stream without a close frame: close.
}
