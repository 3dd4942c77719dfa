// Exercise 15 traceroute: the routers between here and there.
//
// Calls that you need: setsockopt(2) with IP_TTL (ip(7)), sendto(2), poll(2), recv(2).
// Read: Lessons/15-unix-and-raw/README.md#traceroute      Check: lab check 15 traceroute
import Course
import Sockets

/// Sends one echo request with TTL 1, one with TTL 2, and so on, each when the one before is answered or its timeout has
/// passed. The sequence number is the TTL.
///
/// - Parameter socket: not connected. What it receives begins with an IPv4 header.
/// - Returns: the address that answered each, nil for silence. The last is the destination's own reply, or an
///   "unreachable" (type 3), or number `mostHops`.
func traceroute(
    socket: Int32, to destination: SocketAddress, identifier: UInt16, mostHops: Int, timeout: Milliseconds
) throws -> [String?] {
    // Step 1: for each hop: IPPROTO_IP, IP_TTL, an Int32; then sendto the destination.
    todo("step 1: a request with its own time to live")

    // Step 2: until the deadline, receive packets. An echo reply with your identifier and this sequence: the destination.
    //     An error that quotes your identifier and this sequence: a router. Anything else is passed over.

    // Step 3: the address is the source in the IPv4 header of the answer.
}
