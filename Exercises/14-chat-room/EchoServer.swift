// Exercise 14 echo-server: send everything that a client sends back to it.
//
// Calls that you need: socket(2), bind(2), listen(2), accept(2), recv(2), send(2), close(2).
// Read: Lessons/14-chat-room/README.md#writing-echo-server
// Check: lab check 14 echo-server
import Course
import Sockets

/// Runs until the process ends.
///
/// - Parameter host: a numeric address, IPv4 or IPv6: bind exactly this one.
/// - Parameter port: in host order; 0 lets the kernel choose.
/// - Throws: `SocketError` if the socket cannot be made or bound.
func echoServer(host: String, port: UInt16) throws {
    // Step 1: make a listening socket that is bound to this address.
    //     let address = try SocketAddress(host: host, port: port)
    todo("step 1: socket, bind, listen")

    // Step 2: for ever: accept a client, send back all that it sends until it ends, close the connection.
    // todo("step 2: serve one client after another")
}
