// Exercise 05 frame-decoder: cut a stream of bytes into frames: a length, then so many bytes.
//
//     00 00 00 05  68 65 6c 6c 6f     00 00 00 00     00 00 00 02  68 69
//     length = 5    h  e  l  l  o     length = 0      length = 2    h  i
//
// No socket here: bytes go in by `feed`, messages come out by `next`.
// Read: Lessons/05-framing/README.md      Check: lab check 05 frame-decoder
import Course

/// A frame is its length, four bytes, big-endian (u32), and then the message. The length counts the message, not itself.
///
///   - A frame of length 0 is a message, of no bytes.
///   - The length may be cut too: one byte of it in this chunk, three in the next.
struct FrameDecoder: MessageDecoder {
    /// The most bytes that a message may have, not counting the length.
    let limit: Int

    // Step 1: what must the decoder remember from one call to the next?

    init(limit: Int) {
        self.limit = limit
    }

    /// Takes the next bytes of the stream, cut anywhere; perhaps none.
    mutating func feed(_ bytes: [UInt8]) {
        todo("step 1: keep the bytes")
    }

    /// The next complete message, or nil if it is not all here yet.
    mutating func next() throws -> [UInt8]? {
        // Step 2: fewer than four bytes? Then there is no length yet.
        // Step 3: put the length together from its four bytes. The first one counts most.
        // Step 4: a length over `limit`:  throw FramingError.tooLong(limit: limit)
        //     You know it from the four bytes alone: do not wait for the rest, do not make room for it.
        // Step 5: is the whole message here? Return it. Remove it and its length, and nothing that follows.
        todo("step 2: is the length here?")
    }
}
