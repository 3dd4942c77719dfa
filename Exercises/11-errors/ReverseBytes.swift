// Exercise 11 reverse-bytes: turn bytes round.
//
// Read: Lessons/11-errors/README.md#writing-reverse-bytes
// Check: lab check 11 reverse-bytes
import Course
import Sockets

/// - Returns: the bytes, the last one first.
func reverseBytes(_ bytes: [UInt8]) throws -> [UInt8] {
    // Step 1: return the bytes, the last one first.
    todo("step 1: turn them round")
}
