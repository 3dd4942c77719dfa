// Exercise 04 receive-exactly: receive as many bytes as were asked for, no fewer and no more.
//
// Calls that you need: recv(2).
// Read: Lessons/04-tcp/README.md#short-transfers      Check: lab check 04 receive-exactly
import Course
import Sockets

/// - Parameter socket: a connected TCP socket. It stays open.
/// - Parameter count: how many bytes; 0 returns at once.
/// - Throws: `StreamError.ended(received:)` if the stream ends first, with how many bytes had come;
///   `SocketError` if the connection breaks.
func receiveExactly(_ socket: Int32, count: Int) throws -> [UInt8] {
    // Step 1: receive into a buffer, and look at what recv returns: it may be less than you asked for.
    //     var buffer = [UInt8](repeating: 0, count: …)
    //     let got = recv(socket, &buffer, buffer.count, 0)
    todo("step 1: receive what is there")

    // Step 2: go on until all `count` bytes are there. Never ask for more than are missing: what follows is not yours.

    // Step 3: recv returned 0: the peer has ended its side.  throw StreamError.ended(received: …)

    // Step 4: recv returned -1: see errno. One value means "ask again"; all others:  throw SocketError("recv", errno)
}
