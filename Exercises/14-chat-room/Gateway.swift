// Exercise 14 gateway: browsers come in by WebSocket, and talk to a chat server behind you.
//
//     browser  ⇄  text message: {"type":…}  ⇄  gateway  ⇄  00 00 00 11 {"type":…}  ⇄  chat server
//
// You need not write WebSocket again: lesson 09's functions are there, `import Solution09`, and then
//     Solution09.reference.serverHandshake(bytes, origins), .makeFrameDecoder(.server, limit), .encodeFrame(…)
// and lesson 05's in `import Solution05`. Or bring your own.
// Read: Lessons/14-chat-room/PROTOCOL.md, Lessons/14-chat-room/README.md#the-gateway      Check: lab check 14 gateway
import Course
import Sockets

/// Runs until the process ends. Serves many browsers at once.
///
/// - Parameter rules: where the chat server is, which pages may come in, and the page for who asks for no WebSocket.
func gateway(host: String, port: UInt16, rules: GatewayRules) throws {
    // Step 1: a server for many, as chat-server: a handshake for each, with rules.allowedOrigins. Refused with 426?
    // Send
    //     rules.page in its place. Refused otherwise? Send the response, and close.
    todo("step 1: listen, and shake hands")

    // Step 2: a connection to the chat server for each browser that is in. There is none to be had: close with 1013.

    // Step 3: a text message becomes a frame, a frame becomes a text message; neither is changed. A ping gets its pong.

    // Step 4: who does not take what you have for it, is not read for: stop to receive from the other side. The chat
    //     server knows what to do with a member that does not read.

    // Step 5: one side ends, the other one ends: see PROTOCOL.md for the close codes. One session never ends another.
}
