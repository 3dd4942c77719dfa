// Exercise 08 request-decoder: cut the bytes of a connection into requests, wherever recv happened to cut them.
//
//     POST /notes HTTP/1.1 CR LF          request line
//     Host: localhost CR LF               field lines
//     Content-Length: 5 CR LF
//     CR LF                               the empty line: the head ends here
//     hello                               the body: as many bytes as the head said
//
// No socket here: bytes go in by `feed`, events come out by `next`.
// Read: Lessons/08-http/README.md#the-request-decoder      Check: lab check 08 request-decoder
import Course

/// For one connection: requests follow one another in it. One request is `.head`, then pieces of body, then `.end`.
struct HTTPRequestDecoder: RequestDecoder {
    let limits: RequestLimits

    // Step 1: what must the decoder remember from one call to the next? The bytes that it kept, and where in a request
    // it is: before the head, in a body of known length, in a chunk …

    init(limits: RequestLimits) {
        self.limits = limits
    }

    /// Takes the next bytes of the connection, cut anywhere; perhaps none.
    mutating func feed(_ bytes: [UInt8]) {
        todo("step 1: keep the bytes")
    }

    /// The next event, or nil if it is not all here yet.
    mutating func next() throws -> RequestEvent? {
        // Refuse with:  throw RequestRefused(status: 400)
        //
        // Step 2: the request line: method, one space, target, one space, HTTP/1.1. It ends at CR LF; a CR or an LF alone
        //     ends nothing: 400. Over `limits.line` bytes: 414. Another version than HTTP/1.x: 505.
        // Step 3: the field lines, to the empty line. Name, colon, value; no space before the colon, none before the
        //     name. Over `limits.head` bytes or `limits.fields` lines: 431.
        // Step 4: exactly one Host (in HTTP/1.0: at most one).
        // Step 5: how long is the body? Content-Length says (digits, once), or Transfer-Encoding: chunked, or there is none.
        //     Both at once: 400. Over `limits.body`: 413, before the body comes.
        // Step 6: give the body out as it comes: never wait for all of it.
        // Step 7: chunks: size in hexadecimal, CR LF, so many bytes, CR LF; the last one has size 0, then trailer
        //     fields, then an empty line.
        // Step 8: count the work. A head that comes byte by byte: do you search all of it each time?
        todo("step 2: the request line")
    }
}
