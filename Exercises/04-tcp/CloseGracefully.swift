// Exercise 04 close-gracefully: hang up without cutting the other side off.
//
// Calls that you need: shutdown(2), recv(2), close(2).
// Read: Lessons/04-tcp/README.md#half-close      Check: lab check 04 close-gracefully
import Course
import Sockets

/// Ends our side, reads what the peer still sends until it ends its side, then closes.
///
/// - Parameter socket: a connected TCP socket. It is closed when this returns, and when it throws: exactly once.
/// - Throws: `SocketError` if the connection breaks first.
func closeGracefully(_ socket: Int32) throws {
    // Step 1: tell the peer that nothing more will come from you, without closing.
    todo("step 1: end your side only")

    // Step 2: receive and throw away, until the peer ends its side, too. (And if a signal interrupts recv?)

    // Step 3: close. Whatever happened before: `defer { close(socket) }` at the top does it on every way out.
}
