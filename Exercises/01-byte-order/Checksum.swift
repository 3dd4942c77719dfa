// Exercise 01 checksum: the checksum of IP, ICMP, UDP and TCP (RFC 1071). You meet it again in lesson 15.
//
// What you need: << >> & ~, and a variable that is wide enough.
// Read: Lessons/01-byte-order/README.md      Check: lab check 01 checksum
import Course

/// The Internet checksum of any number of bytes, as a number: 0x220D is sent as 22 0D.
func internetChecksum(_ bytes: [UInt8]) -> UInt16 {
    // Step 1: add up the bytes in pairs: each pair is a 16-bit number, most significant byte first.
    //     If one byte is left over at the end, a zero byte stands behind it.
    todo("step 1: add up the 16-bit words")

    // Step 2: what did not fit into 16 bits is added to the lowest 16 bits, until nothing is left over.

    // Step 3: the answer is the complement: every bit the other way round.
}
