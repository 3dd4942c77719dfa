// Exercise 15 ping: is it there, and how far away?
//
// Calls that you need: socket(2) with IPPROTO_ICMP (icmp(7), raw(7)), connect(2), getsockname(2), send(2), poll(2), recv(2),
// clock_gettime(2) with CLOCK_MONOTONIC.
// PingSocket is in Sources/Course/Lesson15.swift.
// Read: Lessons/15-unix-and-raw/README.md#ping      Check: lab check 15 ping
import Course
import Sockets

/// A connected socket for ICMP echo.
///
/// - Throws: `SocketError` if neither kind is permitted, or the address is no IPv4 address.
func openPing(address: String) throws -> PingSocket {
    // Step 1: SOCK_DGRAM with IPPROTO_ICMP needs no privilege where the system permits it; else SOCK_RAW.
    //     Connect it. Close it again if that fails.
    todo("step 1: a socket of the kind that is permitted")

    // Step 2: the identifier. Of a raw socket you choose it. Of SOCK_DGRAM the kernel does: it is the local port.
}

/// Sends the echo requests number 1 to `count`, each when the one before is answered or its timeout has passed.
///
/// - Returns: for each the time from just before it was sent until its reply came, in nanoseconds; nil without a reply.
func ping(_ socket: PingSocket, count: Int, timeout: Milliseconds) throws -> [UInt64?] {
    // Step 3: send a request. Its deadline is `timeout` after that, whatever else arrives meanwhile.
    todo("step 3: send an echo request, and take the time")

    // Step 4: until the deadline: wait with poll, receive, parse. It is yours if identifier and sequence are. All else is
    //     passed over: packets of others, replies that come late, damaged ones, your own request on loopback.
}
