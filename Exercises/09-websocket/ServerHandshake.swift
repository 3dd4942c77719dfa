// Exercise 09 server-handshake: from an HTTP request to a WebSocket, or to a refusal.
//
// No socket here: bytes in, an answer out. The server calls this after each recv, with all that has come so far.
// Read: Lessons/09-websocket/README.md#the-servers-side      Check: lab check 09 server-handshake
import Course

/// - Parameter received: all bytes so far: part of a request, a request, or a request and the first frames behind it.
/// - Parameter allowedOrigins: the pages that may connect; nil allows all. Compare without regard to case.
func serverHandshake(_ received: [UInt8], allowedOrigins: [String]?) -> ServerHandshake {
    // Step 1: find the end of the head: CR LF CR LF. Not here yet? `.incomplete`. But with more than `Lesson09.headLimit`
    //     bytes and no end, or an end behind the limit: refuse with 431.
    todo("step 1: find the end of the head")

    // Step 2: the first line is "GET <target> HTTP/1.1"; every other line is "name: value". Names may be in any case,
    //     blanks around the value do not count. Anything else, or no Host, or two: refuse with 400.

    // Step 3: `Upgrade` lists websocket, and `Connection` lists upgrade, in any case: "keep-alive, Upgrade" does. If not:
    //     426, with "Upgrade: websocket", for this is where only WebSocket is spoken.

    // Step 4: `Sec-WebSocket-Version` is 13. If not: 426, with "Sec-WebSocket-Version: 13".

    // Step 5: `Sec-WebSocket-Key`, once, is 16 bytes in base64: 24 characters that end in "==". If not: 400.

    // Step 6: an `Origin` that is not allowed: 403.

    // Step 7: `.accepted`, with the length of the head, and
    //     HTTP/1.1 101 Switching Protocols, Upgrade: websocket, Connection: Upgrade, Sec-WebSocket-Accept: …
    //     Offers that you do not take (Sec-WebSocket-Extensions, Sec-WebSocket-Protocol) are not mentioned.
}
