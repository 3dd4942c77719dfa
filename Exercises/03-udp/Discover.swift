// Exercise 03 discover: find out who is on the network, without knowing any address.
//
// Calls that you need: those of broadcast, and recvfrom(2) with a deadline, as in request.
// Read: Lessons/03-udp/README.md#who-is-there      Check: lab check 03 discover
import Course
import Sockets

/// Broadcasts the 13 bytes `WHO IS THERE?` once, to `port` on 127.255.255.255, and collects the answers that arrive
/// within `timeout`.
///
/// - Returns: the first answer of each sender (address and port), in any order; empty if nobody answered.
/// - Throws: `SocketError` if the question cannot be sent.
func discover(port: UInt16, timeout: Milliseconds) throws -> [Discovered] {
    // Step 1: make a socket that may broadcast, and send the question.
    todo("step 1: broadcast the question")

    // Step 2: receive until the deadline. There is one deadline for all answers together.
    //     Discovered(host: sender.host, port: sender.port, answer: bytes)
    // todo("step 2: collect answers until the deadline")

    // Step 3: keep one answer a sender. (A SocketAddress can be in a Set or be a Dictionary's key.)
    // todo("step 3: one answer a sender")
}
