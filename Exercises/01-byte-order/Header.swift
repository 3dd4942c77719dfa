// Exercise 01 header: write a header of 16 bytes, and read one that anybody may have sent.
//
//     offset  0        1     2       4         8
//             version  kind  length  sequence  timestamp
//             u8       u8    u16     u32       u64          every number big-endian
//
// What you need: << >> |. Header and HeaderError are in Sources/Course/Lesson01.swift.
// Read: Lessons/01-byte-order/README.md      Check: lab check 01 header
import Course

/// The header as it goes over the wire: always 16 bytes. The version is written as it is, whatever it is.
func encodeHeader(_ header: Header) -> [UInt8] {
    // Step 1: append version and kind, then length, sequence and timestamp, most significant byte first.
    //     A shift gives the same byte on every machine: UInt8(truncatingIfNeeded: header.length >> 8)
    todo("step 1: write the five fields, most significant byte first")
}

/// Reads a header from exactly 16 bytes.
///
/// - Parameter bytes: a slice of something longer: its first byte is bytes[bytes.startIndex], not bytes[0].
/// - Throws: `HeaderError.truncated(count:)` for fewer than 16 bytes, `.tooLong(count:)` for more, and
///   `.unknownVersion` if the version is not 1. Bytes that strangers sent must never stop the program.
func decodeHeader(_ bytes: ArraySlice<UInt8>) throws -> Header {
    // Step 2: refuse a wrong length, before you touch any byte.
    todo("step 2: refuse a wrong length")

    // Step 3: refuse a version other than Header.currentVersion.

    // Step 4: put the numbers together: make a byte as wide as the number first, then shift it.
}
