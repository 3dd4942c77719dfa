// Exercise 15 echo-request: the packet that ping sends.
//
//     offset  0      1      2         4           6         8
//             type   code   checksum  identifier  sequence  payload
//             8      0      u16       u16         u16       any bytes
//
// Read: Lessons/15-unix-and-raw/README.md#the-echo-request      Check: lab check 15 echo-request
import Course

/// An ICMP echo request (RFC 792). Numbers are big-endian.
func echoRequest(identifier: UInt16, sequence: UInt16, payload: [UInt8]) -> [UInt8] {
    // Step 1: eight bytes of header, with zero for the checksum, and the payload.
    todo("step 1: the message with a checksum of zero")

    // Step 2: its checksum into bytes 2 and 3.
}

/// The checksum of lesson 01 (RFC 1071): the complement of the one's complement sum of all 16-bit words. The last byte of an
/// odd number is the high half of a word.
func internetChecksum(_ bytes: ArraySlice<UInt8>) -> UInt16 {
    // Step 3: bring yours from Exercises/01-byte-order/Checksum.swift.
    todo("step 3: the Internet checksum")
}
