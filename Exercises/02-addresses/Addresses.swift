// Exercise 02 addresses: from the text of an address to its bytes, and back.
//
// Calls that you need: inet_pton(3), inet_ntop(3). AF_INET is IPv4, AF_INET6 is IPv6.
// AddressError is in Sources/Course/Lesson02.swift.
// Read: Lessons/02-addresses/README.md      Check: lab check 02 addresses
import Course
import Sockets

/// 4 bytes for IPv4, 16 for IPv6, in network order.
///
/// - Throws: `AddressError.notAnAddress(text)` if the text is neither. Names are for `resolve`, not for this.
func parseAddress(_ text: String) throws -> [UInt8] {
    // Step 1: refuse a text with a zero byte in it. A C function stops reading there.

    // Step 2: try IPv4. inet_pton writes 4 bytes, and returns 1 if the text was an address, 0 if it was not:
    //     var bytes = [UInt8](repeating: 0, count: 4)
    //     inet_pton(AF_INET, text, &bytes)
    todo("steps 1 and 2: try the text as an IPv4 address")

    // Step 3: try IPv6, which has 16 bytes. If it is not that either, throw.
}

/// The usual text of 4 or 16 bytes: `127.0.0.1`, `::1`.
///
/// - Throws: `AddressError.wrongLength` if there are not 4 or 16 bytes.
func formatAddress(_ bytes: [UInt8]) throws -> String {
    // Step 4: how many bytes are there, and so which family is it?

    // Step 5: give inet_ntop room for the longest text, INET6_ADDRSTRLEN, and make a String of what it wrote:
    //     var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
    todo("steps 4 and 5: turn the bytes into text")
}
