// Exercise 09 accept-key: prove to a client that you speak WebSocket.
//
// Calls that you need: `sha1(bytes)`, which comes with `import Course`, and `Data(bytes).base64EncodedString()`.
// Read: Lessons/09-websocket/README.md#the-accept-key      Check: lab check 09 accept-key
import Course
import Foundation

/// The value of `Sec-WebSocket-Accept`.
///
/// - Parameter key: the value of `Sec-WebSocket-Key`, just as it came: do not decode it.
func acceptKey(_ key: String) -> String {
    // Step 1: append "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" to the key. (RFC 6455 chose it: nobody else would.)
    // Step 2: the SHA-1 of these characters: 20 bytes.
    // Step 3: these 20 bytes in base64: 28 characters.
    todo("steps 1 to 3: base64 of the SHA-1 of key and GUID")
}
