// Exercise 05 line-decoder: cut a stream of bytes into lines, wherever recv happened to cut it.
//
// No socket here: bytes go in by `feed`, messages come out by `next`.
// Read: Lessons/05-framing/README.md      Check: lab check 05 line-decoder
import Course

/// A line is every byte up to a newline (LF, byte 10), without the newline.
///
///   - A CR before the newline is a byte like any other: it stays.
///   - An empty line is a message, of no bytes.
///   - Bytes without a newline after them are not a message yet: keep them for the next `feed`.
///   - Bytes are not text: a character may be cut in two. Do not turn them into a String.
struct LineDecoder: MessageDecoder {
    /// The most bytes that a line may have, not counting its newline.
    let limit: Int

    // Step 1: what must the decoder remember from one call to the next?

    init(limit: Int) {
        self.limit = limit
    }

    /// Takes the next bytes of the stream, cut anywhere; perhaps none.
    mutating func feed(_ bytes: [UInt8]) {
        todo("step 1: keep the bytes")
    }

    /// The next complete line, or nil if its newline is not here yet.
    mutating func next() throws -> [UInt8]? {
        // Step 2: find the first newline among the bytes that you kept.
        // Step 3: return the bytes before it. Remove them and the newline, and nothing that follows.
        // Step 4: a line of more than `limit` bytes:  throw FramingError.tooLong(limit: limit)
        //     Must you wait for its newline to know? A peer that never sends one would fill your memory.
        // Step 5: count the work. A long line that comes byte by byte: do you search all of it each time?
        //     Many short lines in one chunk: do you move all the rest for each?
        todo("step 2: find the newline")
    }
}
