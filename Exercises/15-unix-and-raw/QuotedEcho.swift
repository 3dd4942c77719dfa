// Exercise 15 quoted-echo: an error message, and which packet of ours it is about.
//
//     IPv4 header | ICMP type 11 or 3, code, checksum, 4 bytes | IPv4 header of our packet | its first 8 bytes or more
//     └── of the router ──────────────────────────────────────┘ └── quoted ──────────────────────────────────────────┘
//
// QuotedEcho and PacketError are in Sources/Course/Lesson15.swift.
// Read: Lessons/15-unix-and-raw/README.md#the-quote      Check: lab check 15 quoted-echo
import Course

/// - Parameter packet: from its IPv4 header on.
/// - Throws: `PacketError`, of the outer packet as in `parseEchoReply`; then of the quoted one: `.truncated`, `.notIPv4`,
///   `.notICMP`, `.otherType` if it is no echo request (type 8, code 0).
func parseQuotedEcho(_ packet: [UInt8]) throws -> QuotedEcho {
    // Step 1: the outer packet, as in parseEchoReply; its source in dotted form; type 11 (time exceeded) or 3 (unreachable).
    todo("step 1: the error message")

    // Step 2: behind its 8 bytes the quoted header. Its total length is the one our packet had: more than what is quoted.

    // Step 3: 8 bytes of our echo request: identifier and sequence. Its checksum covers bytes that are not here.
}
