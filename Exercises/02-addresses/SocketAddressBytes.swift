// Exercise 02 socket-address: the structures that bind, connect and sendto take, byte for byte.
//
// What you need: sockaddr_in, sockaddr_in6, sockaddr_un (ip(7), ipv6(7), unix(7)), withUnsafeBytes(of:).
// Build them by hand. SocketAddress, in Sources/Sockets, does the same: it is for the lessons after this one.
// Read: Lessons/02-addresses/README.md      Check: lab check 02 socket-address
import Course
import Sockets

/// The bytes of a sockaddr_in (16 of them) or a sockaddr_in6 (28).
///
/// - Parameter host: a numeric address, IPv4 or IPv6.
/// - Parameter port: in host order.
/// - Throws: `AddressError.notAnAddress(host)`.
func socketAddress(host: String, port: UInt16) throws -> [UInt8] {
    // Step 1: parseAddress gives the bytes of the address, and their number tells the family.
    todo("step 1: which family is it?")

    // Step 2: fill in family, port and address. The port is in network order, the family is not; all the rest is zero.
    //     var ipv4 = sockaddr_in()
    //     ipv4.sin_family = sa_family_t(AF_INET)

    // Step 3: the whole structure as bytes:  withUnsafeBytes(of: ipv4) { Array($0) }
}

/// The bytes of a whole sockaddr_un.
///
/// - Parameter path: where the socket's file is, or will be.
/// - Throws: `AddressError.pathTooLong`, with the number of its bytes, if the path and one final zero byte do not fit
///   into sun_path; `AddressError.notAnAddress(path)` if it is empty or has a zero byte in it.
func unixSocketAddress(path: String) throws -> [UInt8] {
    // Step 4: how much room is there?  MemoryLayout.size(ofValue: address.sun_path)
    todo("step 4: does the path fit?")

    // Step 5: family and path; the rest stays zero.
    //     withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
}
