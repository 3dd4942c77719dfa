// Exercise 03 multicast: send to those who asked for it, and be one of them.
//
// Calls that you need: socket(2), setsockopt(2) with IP_MULTICAST_IF, SO_REUSEADDR, IP_ADD_MEMBERSHIP (ip(7)), bind(2),
// sendto(2), recvfrom(2) with a deadline.
// Read: Lessons/03-udp/README.md#multicast      Check: lab check 03 multicast
import Course
import Sockets

/// Sends `message` once to `port` of the multicast `group` (239.…), on the loopback interface.
///
/// - Throws: `SocketError` if it cannot be sent.
func multicastSend(message: [UInt8], group: String, port: UInt16) throws {
    // Step 1: make an IPv4 datagram socket (and see that it is closed on every way out).
    todo("step 1: make a datagram socket")

    // Step 2: say on which interface to send, by its address:
    //     var loopback = in_addr()
    //     inet_pton(AF_INET, "127.0.0.1", &loopback)
    //     setsockopt(sender, IPPROTO_IP, IP_MULTICAST_IF, &loopback, socklen_t(MemoryLayout<in_addr>.size))
    // todo("step 2: choose the loopback interface")

    // Step 3: send the message to the group.
    // todo("step 3: send the message")
}

/// Joins `group` on the loopback interface and waits for one datagram that is sent to the group's `port`.
///
/// - Returns: the datagram. What is sent to this port but not to the group does not count.
/// - Throws: `RequestError.noAnswer` if none arrives within `timeout`; `SocketError` if the group cannot be joined.
func multicastReceive(group: String, port: UInt16, timeout: Milliseconds) throws -> [UInt8] {
    // Step 1: make an IPv4 datagram socket that others may share the port with (SO_REUSEADDR), and bind it to the
    // group's address and port.
    todo("step 1: make a datagram socket and bind it")

    // Step 2: join the group.
    //     ip_mreq(imr_multiaddr: …, imr_interface: …)      // two in_addr: the group, and 127.0.0.1
    //     setsockopt(member, IPPROTO_IP, IP_ADD_MEMBERSHIP, …)
    // todo("step 2: join the group")

    // Step 3: wait for one datagram until the deadline.
    // todo("step 3: wait for a datagram")
}
