// Exercise 02 describe-socket: what does the kernel know about a socket that somebody gave you?
//
// Calls that you need: getsockopt(2) with SO_TYPE, getsockname(2), getpeername(2).
// SocketDescription is in Sources/Course/Lesson02.swift.
// Read: Lessons/02-addresses/README.md      Check: lab check 02 describe-socket
import Course
import Sockets

/// Type, family, and both ends' names. The socket stays open: it is not yours.
///
/// - Throws: `SocketError` if the descriptor is not a socket, or not open.
func describeSocket(_ descriptor: Int32) throws -> SocketDescription {
    // Step 1: the type: an Int32 that getsockopt writes. SOCK_STREAM is "stream", SOCK_DGRAM is "datagram".
    todo("step 1: ask for SO_TYPE")

    // Step 2: the local name. Room for every family is a sockaddr_storage; tell getsockname how much there is, and it
    //     tells you how much it used. The family in the name says how to read it: "IPv4", "IPv6", "Unix".

    // Step 3: the name as text: 127.0.0.1:12000, [::1]:12000, or a path (empty if a Unix socket has none).

    // Step 4: the peer's name in the same way. ENOTCONN means that there is no peer: nil. Any other error is an error.
}
