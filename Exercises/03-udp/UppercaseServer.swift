// Exercise 03 uppercase-server: answer every datagram with the same bytes in upper case.
//
// Calls that you need: socket(2), bind(2), recvfrom(2), sendto(2).
// Read: Lessons/03-udp/README.md#the-upper-case-server      Check: lab check 03 uppercase-server
import Course
import Sockets

/// Runs until the process ends.
///
/// - Parameter host: a numeric address, IPv4 or IPv6: bind exactly this one.
/// - Parameter port: in host order; 0 lets the kernel choose.
/// - Throws: `SocketError` if the socket cannot be made or bound.
func uppercaseServer(host: String, port: UInt16) throws {
    // Step 1: make a datagram socket of the address's family.
    //     let address = try SocketAddress(host: host, port: port)
    //     let server = try check("socket", socket(address.family, …, 0))
    todo("step 1: make a datagram socket")

    // Step 2: bind it to the address, and throw if that fails.
    //     address.withSockaddr { bind(server, $0, $1) }
    // todo("step 2: bind it")

    // Step 3: for ever: receive one datagram and who sent it,
    //     SocketAddress.received { recvfrom(server, &buffer, buffer.count, 0, $0, $1) }
    // turn a…z into A…Z, and send it back to that sender.
    //     - A datagram may be empty, and may be as long as 65,507 bytes.
    //     - All bytes but a…z stay as they are: do not go through String.
    //     - An answer that cannot be sent is lost; the server goes on.
    //     - recvfrom may fail with EINTR: a signal came first. Ask again.
    // todo("step 3: answer datagrams for ever")
}
