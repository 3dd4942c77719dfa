// Exercise 15 parse-echo-reply: what a raw socket receives, read with distrust.
//
//     IPv4 header, 20 to 60 bytes:  0 version (4 bits), length in words (4 bits)   2 total length   9 protocol   12 source
//     ICMP message:                 0 type   1 code   2 checksum   4 identifier   6 sequence   8 payload
//
// EchoReply and PacketError are in Sources/Course/Lesson15.swift.
// Read: Lessons/15-unix-and-raw/README.md#the-echo-reply      Check: lab check 15 parse-echo-reply
import Course

/// - Parameter hasHeader: an IPv4 header comes first, as from a SOCK_RAW socket. The packet ends at its total length.
/// - Throws: `PacketError`, in this order: `.truncated` (fewer than 20 bytes), `.notIPv4`, `.truncated` (a length that
///   cannot be), `.notICMP`, `.truncated` (fewer than 8 bytes of ICMP), `.wrongChecksum`, `.otherType`. Never a trap.
func parseEchoReply(_ packet: [UInt8], hasHeader: Bool) throws -> EchoReply {
    // Step 1: behind a header: version 4, header length (a header may have options), total length, protocol 1.
    todo("step 1: find the ICMP message")

    // Step 2: at least 8 bytes; the checksum over all of it is 0; type 0, code 0.

    // Step 3: identifier, sequence, payload.
}
