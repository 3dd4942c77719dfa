// Exercise 14 messages: a message to JSON and back. No sockets and no lengths here: bytes of JSON only.
//
// What you need: JSONEncoder and JSONDecoder of Foundation (or JSONSerialization).
// Read: Lessons/14-chat-room/PROTOCOL.md, Lessons/14-chat-room/README.md#messages      Check: lab check 14 messages
import Course
import Foundation

/// - Parameter message: its texts may be anything: the room says what is allowed, not you.
/// - Returns: one JSON object in UTF-8, as PROTOCOL.md describes it, without the length before it. It is sent as it is,
/// so
///   it never fails.
func encodeMessage(_ message: ChatMessage) -> [UInt8] {
    // Step 1: each kind has its `type` and its fields: {"type":"chat","content":"hi"}. Let an encoder write the texts:
    //     quotation marks, backslashes and newlines in them must not break the JSON.
    todo("step 1: encode")
}

/// - Parameter bytes: what a frame held. It comes from a stranger, and may be anything at all.
/// - Returns: the message, of whichever side.
/// - Throws: `MessageError.unknownType` for an object whose `type` is a string that PROTOCOL.md does not have;
///   `MessageError.badMessage` for all else that is no message. Nothing else, and it never traps.
func decodeMessage(_ bytes: [UInt8]) throws -> ChatMessage {
    // Step 2: UTF-8 or not? Foundation reads UTF-16, too, unasked.

    // Step 3: the type. If you do not know it, the other fields do not matter.

    // Step 4: the fields that this type needs, each of its kind: `"success": 1` is not true, `"id": "7"` is not 7.
    //     Fields that you do not know are passed over.
    todo("step 2: decode")
}
