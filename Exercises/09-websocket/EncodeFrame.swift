// Exercise 09 encode-frame: opcode, length, mask and payload as bytes.
//
//      0               1               2               3
//     +-+-+-+-+-------+-+-------------+-------------------------------+
//     |F|R|R|R| opcode|M| length      | length, if that was 126 (u16) |
//     |I|S|S|S|  (4)  |A|     (7)     |         or 127 (u64)          |
//     |N|V|V|V|       |S|             |   big-endian, not masked      |
//     +-+-+-+-+-------+K+-------------+ - - - - - - - - - - - - - - - +
//
// Read: Lessons/09-websocket/README.md#a-frame      Check: lab check 09 encode-frame
import Course

/// - Parameter mask: four bytes, or nil for a frame without mask. A server never masks, a client always does.
func encodeFrame(_ opcode: Opcode, _ payload: [UInt8], isFinal: Bool = true, mask: [UInt8]? = nil) -> [UInt8] {
    // Step 1: the first byte: 0x80 if final, and the opcode.
    // Step 2: the second byte: 0x80 if masked, and the length: up to 125 itself, 126 with two bytes behind it, or 127 with
    //     eight. Always the shortest form that fits.
    // Step 3: the mask's four bytes, if there is one.
    // Step 4: the payload; masked, byte i is payload[i] ^ mask[i % 4].
    todo("steps 1 to 4: a frame")
}
