// Exercise 02 resolve: from a name to addresses.
//
// Calls that you need: getaddrinfo(3), freeaddrinfo(3), getnameinfo(3) with NI_NUMERICHOST (or formatAddress).
// Read: Lessons/02-addresses/README.md      Check: lab check 02 resolve
import Course
import Sockets

/// The numeric addresses of a name, IPv4 and IPv6, in the order of getaddrinfo (the best one first), none twice.
///
/// - Throws: `ResolveError` with the code that getaddrinfo returned. It is not in errno. `EAI_NONAME` for a name with a
///   zero byte in it.
func resolve(name: String) throws -> [String] {
    // Step 1: ask, with hints: any family, one socket type (or else every address comes once for each type).
    //     var hints = addrinfo()
    //     var first: UnsafeMutablePointer<addrinfo>?
    //     let code = getaddrinfo(name, nil, &hints, &first)
    todo("step 1: ask getaddrinfo")

    // Step 2: follow ai_next from the first entry to the last, and make a text of each ai_addr.

    // Step 3: give the list back, whatever happens:  defer { freeaddrinfo(first) }
}
