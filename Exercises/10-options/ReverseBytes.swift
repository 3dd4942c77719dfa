// Exercise 10 reverse-bytes: turn bytes round.
//
// Read: Lessons/10-options/README.md#writing-reverse-bytes
// Check: lab check 10 reverse-bytes
import Course
import Sockets

/// - Returns: the bytes, the last one first.
func reverseBytes(_ bytes: [UInt8]) throws -> [UInt8] {
    // Step 1: return the bytes, the last one first.
    todo("step 1: turn them round")
}
