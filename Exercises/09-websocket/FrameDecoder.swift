// Exercise 09 frame-decoder: from a stream of bytes to messages, pings and closes.
//
// No socket here: bytes go in by `feed`, events come out by `next`.
// Read: Lessons/09-websocket/README.md#a-frame and what follows      Check: lab check 09 frame-decoder
import Course

struct FrameDecoder: WebSocketDecoder {
    /// `.server` receives masked frames, `.client` frames without mask: all others are a protocol error.
    let role: WebSocketRole
    /// The most bytes that a message may have, all its fragments together.
    let limit: Int

    // Step 1: what must it remember? Bytes that are no whole header yet; the frame that it is in, and how much of it is
    //     still to come; the fragments of a message so far.

    init(role: WebSocketRole, limit: Int) {
        self.role = role
        self.limit = limit
    }

    mutating func feed(_ bytes: [UInt8]) {
        todo("step 1: keep the bytes")
    }

    mutating func next() throws -> WebSocketEvent? {
        // Step 2: the header: 2 bytes, then 0, 2 or 8 of length, then 0 or 4 of mask. What is wrong with it is an error at
        //     once, before any payload:  throw WebSocketError.protocolError("…")
        //       - a reserved bit; an opcode that is not in `Opcode`; masked or not, against the role
        //       - a length that is not in its shortest form, or has its highest bit set
        //       - a control frame that is not final, or has more than 125 bytes
        //       - a continuation when there is nothing to continue; text or binary in the midst of a message
        //     Over the limit with the fragments before it:  throw WebSocketError.tooLong(limit: limit)
        todo("step 2: the header")

        // Step 3: the payload, as it comes: unmask it. The mask goes on where the last chunk stopped.

        // Step 4: a text is UTF-8, over all its fragments: no frame need end with a character. Throw
        //     WebSocketError.invalidText at the first byte that no UTF-8 can have there: do not wait for the message's end.

        // Step 5: the end of a frame: ping, pong, close; or, if it is final, text or binary. A control frame may come
        //     between two fragments: it leaves them alone.

        // Step 6: close: no payload, or a code (1000…1003, 1007…1014, 3000…4999) and UTF-8. One byte is an error, and so
        //     is any other code. After it nothing is looked at: nil.
    }
}
