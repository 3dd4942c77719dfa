// Exercise 14 chat-server: the room, for real connections.
//
// Calls that you need: socket(2), setsockopt(2), bind(2), listen(2), accept(2), recv(2), send(2), shutdown(2),
// close(2), and a way to serve many: poll(2), epoll(7) of lesson 07, or threads. Bring your own from the lessons
// before: copy files from Exercises/05-framing and others into this folder. A FrameDecoder is there already, if you
// want it:
// `import Solution05`, and then Solution05.reference.makeFrameDecoder(Lesson14.frameLimit).
// Read: Lessons/14-chat-room/PROTOCOL.md, Lessons/14-chat-room/README.md#the-server      Check: lab check 14
// chat-server
import Course
import Sockets

/// Runs until the process ends.
///
/// - Parameter rules: how much is kept for a client that does not read, and how long one may take to log in.
/// - Throws: `SocketError` if it cannot listen there.
func chatServer(host: String, port: UInt16, rules: RoomRules) throws {
    // Step 1: a listening socket, and as many connections as come. Each has a number, a decoder, and a queue of bytes
    // that
    //     wait for it. Who has not logged in after rules.loginPatience is closed.
    todo("step 1: listen")

    // Step 2: what comes goes to the decoder; each frame to decodeMessage; each message to room.receive. An error of
    //     decodeMessage, or of the decoder, is answered here: bad_message, unknown_type, too_long.

    // Step 3: carry out the deliveries, in their order. Encode a message once, however many get it.

    // Step 4: wait for nobody: what send(2) does not take now stays in the queue of that member. More than
    //     rules.queueLimit bytes in it, after send took what it takes? Then it does not read: drop it.

    // Step 5: a connection that ends, breaks, or is dropped: room.leave, and carry out what that says.

    // Step 6: .close(connection): all that was sent before arrives, the last frame above all. Is there still something
    // to
    //     read? Then close(2) sends a reset, and a reset takes away what the client has not read yet.
}
