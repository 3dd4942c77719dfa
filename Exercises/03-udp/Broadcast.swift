// Exercise 03 broadcast: send one datagram to everybody on a network.
//
// Calls that you need: socket(2), setsockopt(2) with SO_BROADCAST, sendto(2).
// Read: Lessons/03-udp/README.md#broadcast      Check: lab check 03 broadcast
import Course
import Sockets

/// Sends `message` once, to `port` on 127.255.255.255: everybody on the loopback network.
///
/// - Throws: `SocketError` if it cannot be sent.
func broadcast(message: [UInt8], port: UInt16) throws {
    // Step 1: make an IPv4 datagram socket (and see that it is closed on every way out).
    todo("step 1: make a datagram socket")

    // Step 2: allow it to broadcast. Options are passed by address and size:
    //     var on: Int32 = 1
    //     setsockopt(sender, SOL_SOCKET, SO_BROADCAST, &on, socklen_t(MemoryLayout<Int32>.size))
    // todo("step 2: set SO_BROADCAST")

    // Step 3: send the message to the broadcast address.
    // todo("step 3: send the message")
}
