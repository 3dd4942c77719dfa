// Exercise 05 encode-frame: a message with its length before it, ready to be sent.
//
//     "hello"  ->  00 00 00 05  68 65 6c 6c 6f
//
// Read: Lessons/05-framing/README.md      Check: lab check 05 encode-frame
import Course

/// - Parameter message: any bytes, perhaps none.
/// - Returns: the number of its bytes as four bytes, big-endian (u32), then the message.
func encodeFrame(message: [UInt8]) -> [UInt8] {
    // The length counts the message, not the four bytes before it.
    // Lesson 01 is about the order of these four.
    todo("the length, then the message")
}
