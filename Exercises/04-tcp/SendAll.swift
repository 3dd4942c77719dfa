// Exercise 04 send-all: send everything, however little the kernel takes at a time.
//
// Calls that you need: send(2).
// Read: Lessons/04-tcp/README.md#short-transfers      Check: lab check 04 send-all
import Course
import Sockets

/// Returns when the kernel has taken the last byte.
///
/// - Parameter socket: a connected TCP socket. It stays open.
/// - Parameter bytes: may be empty: then there is nothing to do.
/// - Throws: `SocketError` if the connection breaks; the process lives on.
func sendAll(_ socket: Int32, _ bytes: [UInt8]) throws {
    // Step 1: send what has not been sent yet, and look at what send returns.
    //     bytes[sent...].withUnsafeBytes { send(socket, $0.baseAddress, $0.count, flags) }
    todo("step 1: send, and see how many bytes were taken")

    // Step 2: as long as bytes are left, send those, and only those.

    // Step 3: -1 is an error:  throw SocketError("send", errno)
    //     One value of errno only means "a signal came first, ask again". Which one?

    // Step 4: if the peer has gone, send raises SIGPIPE, which ends your process. Which flag of send prevents that?
}
