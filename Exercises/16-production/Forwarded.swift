// Exercise 16 forwarded: who asked, where a proxy stands in front. No sockets: fields in, an address and a scheme out.
//
// Behind a proxy every connection comes from the proxy. It writes into each request whom it heard from. So can anybody
// else: a field is worth as much as the one who wrote it.
//
// What helps: SocketAddress(host: text, port: 0).host, which throws if text is no numeric address, and writes all
// notations of one address alike.
// Read: Lessons/16-production/README.md#who-asked
// Check: lab check 16 forwarded
import Course
import Sockets

/// - Parameter peer: where the connection comes from: a numeric address.
/// - Parameter fields: those of the request, in their order; several may have one name.
/// - Parameter trust: which proxies are believed, and which of the two headers they write.
/// - Returns: the client's address, and `https` or `http`.
func forwardedClient(peer: String, fields: [HTTPField], trust: ProxyTrust) -> ForwardedClient {
    // Step 1: a peer that is not one of trust.proxies is the client itself, whatever the fields say; its scheme is http.
    todo("step 1: a stranger's fields are not believed")

    // Step 2: trust.header == .xForwarded: the addresses of all X-Forwarded-For fields, in one list. Go through it from the
    // right: while the last address that you believe is a trusted proxy's, believe the one before it.
    // todo("step 2: X-Forwarded-For, from the right")

    // Step 3: X-Forwarded-Proto: the last of its values.
    // todo("step 3: the scheme")

    // Step 4: addresses with a port, in brackets; and what is no address, where the walk ends.
    // todo("step 4: all forms of an address")

    // Step 5: trust.header == .forwarded: the same walk over `Forwarded: for=192.0.2.1;proto=https, for="[2001:db8::1]:80"`.
    // Beware of the quotes: a comma inside of them separates nothing, and a quote without an end spoils all.
    // todo("step 5: Forwarded (RFC 7239)")
}
