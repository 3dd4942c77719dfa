// Exercise 02 parse-endpoint: an address and a port in one text, as people write them.
//
// What you need: parseAddress, and the care of parseIPv4.
// Read: Lessons/02-addresses/README.md      Check: lab check 02 parse-endpoint
import Course

/// `127.0.0.1:80` or `[::1]:80`. IPv6 stands in brackets, since it has colons itself; IPv4 does not. The host stays as it
/// was written, without brackets. The port is one to five ASCII digits, at most 65535.
///
/// - Throws: `AddressError.notAnEndpoint(text)` for everything else; a name is not numeric, so it is refused too.
func parseEndpoint(_ text: String) throws -> Endpoint {
    // Step 1: the port follows the last colon. Where there is none, there is no endpoint.
    todo("step 1: find the colon before the port")

    // Step 2: the port: digits only, and no trap however long it is.

    // Step 3: the host: in brackets it must be IPv6, without them IPv4.
}
