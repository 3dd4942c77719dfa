// Exercise 04 client: ask, say that you have finished asking, and collect the whole answer.
//
// Calls that you need: socket(2), connect(2), send(2), shutdown(2), recv(2), close(2).
// Read: Lessons/04-tcp/README.md#the-client      Check: lab check 04 client
import Course
import Sockets

/// - Parameter message: may be empty, and may be larger than all the buffers between you and the server.
/// - Parameter host: a numeric address, IPv4 or IPv6.
/// - Returns: every byte that the server sends until it ends its side.
/// - Throws: `SocketError` if there is no connection, or it breaks: part of an answer is not an answer.
///   The socket is closed in every case.
func client(message: [UInt8], host: String, port: UInt16) throws -> [UInt8] {
    // Step 1: make a stream socket of the address's family, and connect it.
    //     let address = try SocketAddress(host: host, port: port)
    //     address.withSockaddr { connect(connection, $0, $1) }
    todo("step 1: connect")

    // Step 2: send the whole message. You have a function for that.

    // Step 3: end your side, so that the server sees the end of the message.

    // Step 4: receive until the server ends its side, and return all of it.

    // Step 5: now send 8 MiB to a server that answers while it reads. Who waits for whom? A connection has two
    //     directions, and something must use both at once: a thread for one of them, say (`import Foundation`, `Thread`).
}
