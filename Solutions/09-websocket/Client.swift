import Course
import Sockets

/// Connects, shakes hands, and returns the open connection.
func openClient(host: String, port: UInt16, request: HandshakeRequest) throws -> any WebSocketClient {
    todo("step 1: connect, send the request, check the answer")
}
