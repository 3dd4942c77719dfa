// Exercise 09 client: the other side of a WebSocket.
//
// Calls that you need: socket(2), connect(2), send(2), recv(2), poll(2), close(2); and of your own: clientRequest,
// checkAnswer, encodeFrame, FrameDecoder.
// Read: Lessons/09-websocket/README.md#the-client      Check: lab check 09 client
import Course
import Sockets

/// Connects, shakes hands, and returns the open connection.
///
/// - Parameter host: a numeric address, IPv4 or IPv6.
/// - Throws: `SocketError` or `HandshakeError`; then no descriptor stays open.
func openClient(host: String, port: UInt16, request: HandshakeRequest) throws -> any WebSocketClient {
    // Step 1: connect, and send clientRequest(request), all of it.
    todo("step 1: connect, and send the request")

    // Step 2: receive until checkAnswer(received, key: request.key) is not nil. The stream ends first: SocketError.
    //     Whatever it throws: close the descriptor, and throw it on.

    // Step 3: what came behind the answer's head are the server's first frames: they belong to the decoder.
}

/// What openClient returns: add what it must remember.
final class Client: WebSocketClient {
    func send(_ opcode: Opcode, _ payload: [UInt8]) throws {
        // Step 4: one frame, masked with four new random bytes. All of it, whatever send(2) takes at once.
        todo("step 4: send a masked frame")
    }

    func receive() throws -> WebSocketEvent {
        // Step 5: receive and feed until the decoder has an event. A ping is answered by a pong with its payload, and is not
        //     returned. A close is answered by a close with its code (empty, if it was); then close the descriptor.

        // Step 6: a WebSocketError: send a close frame with its closeCode, close the descriptor, throw it on. The end of the
        //     stream without a close frame: SocketError("recv", ECONNRESET).
        todo("steps 5 and 6: receive an event")
    }

    func close(code: UInt16, reason: String) throws -> WebSocketEvent {
        // Step 7: send a close frame; throw away what comes before the server's; wait for that no longer than
        //     Lesson09.closePatience: SocketError("recv", ETIMEDOUT). Close the descriptor, whatever happened.
        todo("step 7: close")
    }
}
