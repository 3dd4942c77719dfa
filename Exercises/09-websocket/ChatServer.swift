// Exercise 09 chat-server: what one says, all others hear.
//
// Calls that you need: those of EchoServer.swift.
// Read: Lessons/09-websocket/README.md#the-chat-server      Check: lab check 09 chat-server
import Course
import Sockets

/// Runs until the process ends.
///
/// - Parameter rules: who may come in, who hears a message, and how much is kept for one who does not read.
func chatServer(host: String, port: UInt16, rules: ChatRules) throws {
    // Step 1: share what echoServer does, all but the answer to a message. The handshake gets rules.allowedOrigins, the
    //     decoder rules.messageLimit. Is the handshake refused with 426, and is there a rules.page? Send that instead.
    todo("step 1: share the server")

    // Step 2: know your members: those whose handshake is done, and who have not left.

    // Step 3: a text or a binary message goes to all other members, in one frame with the same opcode; to its sender, too,
    //     if rules.echoesToSender.

    // Step 4: wait for nobody. Every member has a queue of its own: what send(2) does not take now stays in it, and is sent
    //     when there is room again. All queues get the messages in the same order.

    // Step 5: a member that has more than rules.queueLimit bytes in its queue, after send(2) took what it takes, does not
    //     read: close its connection, and go on.
}
