// Exercise 09 client: the other side of a WebSocket.
//
// Calls that you need: socket(2), connect(2), send(2), recv(2), close(2); your handshake, encodeFrame and FrameDecoder.
// Read: Lessons/09-websocket/README.md#the-client      Check: lab check 09 client
import Course
import Sockets

/// Connects, shakes hands, and returns the open connection.
func openClient(host: String, port: UInt16, request: HandshakeRequest) throws -> any WebSocketClient {
    todo("step 1: connect, send the request, check the answer")
}
