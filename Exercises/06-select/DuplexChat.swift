// Exercise 06 duplex-chat: the keyboard and the peer at the same time, without threads.
//
// Calls that you need: select(2), read(2), write(2), recv(2), send(2), shutdown(2).
// Read: Lessons/06-select/README.md#two-directions-at-once      Check: lab check 06 duplex-chat
import Course
import Sockets

/// Copies `input` to `socket` and `socket` to `output`, whichever has something, in any order.
///
/// The end of `input` (read returns 0) half-closes the socket: the peer may still be answering. The end of the socket ends
/// the function, when everything that came is written. None of the three is closed here.
///
/// - Throws: `SocketError` if one of them breaks.
func duplexChat(socket: Int32, input: Int32, output: Int32) throws {
    // Step 1: fill a set with `input` and `socket`, and select.
    todo("step 1: wait for whichever has something")

    // Step 2: `input` is readable: read it, and send all of it to the socket. 0: shutdown(socket, SHUT_WR), once, and do
    //     not ask for `input` any more (at its end it is readable for ever).

    // Step 3: `socket` is readable: receive, and write all of it to `output`. 0: return.

    // Step 4: neither may keep the other waiting: if the peer does not read, what it sends must still reach `output`.
}
