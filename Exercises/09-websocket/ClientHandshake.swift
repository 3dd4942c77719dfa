// Exercise 09 client-handshake: ask for a WebSocket, and check what the server says.
//
// No socket here: values in, bytes out; bytes in, an answer out.
// Read: Lessons/09-websocket/README.md#the-clients-side      Check: lab check 09 client-handshake
import Course

/// The request, from GET to the empty line.
func clientRequest(_ request: HandshakeRequest) -> [UInt8] {
    // Step 1: GET, path, HTTP/1.1; then Host, Upgrade, Connection, Sec-WebSocket-Key, Sec-WebSocket-Version: 13; and
    //     Origin, if there is one. Each line ends in CR LF, and an empty line ends the head.
    todo("step 1: the request")
}

/// Checks the answer.
///
/// - Parameter received: all bytes so far: part of the answer, or the answer and the first frames behind it.
/// - Parameter key: the key of the request.
/// - Returns: the length of the answer's head, with its empty line; nil if it is not all here yet.
/// - Throws: `HandshakeError`.
func checkAnswer(_ received: [UInt8], key: String) throws -> Int? {
    // Step 2: find CR LF CR LF. Not here: nil; but `.notHTTP` if there are over `Lesson09.headLimit` bytes.
    todo("step 2: find the end of the head")

    // Step 3: the first line is "HTTP/1.1 101 …". Another status: `.status(404)`. No such line at all: `.notHTTP`.

    // Step 4: `Upgrade: websocket` and `Connection: Upgrade`, in any case: else `.notUpgraded`.

    // Step 5: `Sec-WebSocket-Accept` is exactly acceptKey(key): else `.wrongAcceptKey`.

    // Step 6: `Sec-WebSocket-Extensions` or `Sec-WebSocket-Protocol`, though we asked for none: `.unexpectedExtension`.
}
