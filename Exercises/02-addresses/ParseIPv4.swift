// Exercise 02 parse-ipv4: what inet_pton does for IPv4, by hand, and just as strict.
//
// Calls that you need: none. Do it without inet_pton, inet_aton, inet_addr and getaddrinfo.
// Read: Lessons/02-addresses/README.md      Check: lab check 02 parse-ipv4
import Course

/// The four bytes of `192.0.2.7`, or nil if the text is not an address of exactly this form: four decimal numbers from
/// 0 to 255 with dots between them, no leading zeros, and nothing else before, between or after.
func parseIPv4(_ text: String) -> [UInt8]? {
    // Step 1: cut the text at its dots. Empty parts must not disappear: "1..2.3" is no address.
    //     text.utf8 has the bytes. A Character may be several of them, and some digits are not ASCII.
    todo("step 1: cut the text at its dots")

    // Step 2: each part: one to three ASCII digits, no leading zero, at most 255.
    //     UInt8("+1") is 1 and UInt8("01") is 1: so the initialiser is not strict enough by itself.

    // Step 3: exactly four parts.
}
