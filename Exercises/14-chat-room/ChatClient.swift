// Exercise 14 chat-client: what a program needs to talk in a room.
//
// Calls that you need: socket(2), connect(2), send(2), recv(2), poll(2), close(2), and your FrameDecoder of lesson 05,
// or
// `import Solution05` and Solution05.reference.makeFrameDecoder(Lesson14.frameLimit).
// Read: Lessons/14-chat-room/PROTOCOL.md, Lessons/14-chat-room/README.md#the-client      Check: lab check 14
// chat-client
import Course
import Sockets

/// - Parameter host: a numeric address.
/// - Throws: `SocketError` if there is no connection; no descriptor is open then.
func openClient(host: String, port: UInt16) throws -> any ChatClient {
    // Step 1: connect. A connect that a signal interrupts (EINTR) goes on by itself: wait for POLLOUT, read SO_ERROR.
    todo("step 1: connect")
}

/// Sources/Course/Lesson14.swift says of each function what it does and what it throws.
private final class Client: ChatClient {
    // Step 2: the descriptor, a decoder, and a list of messages that came while an answer was waited for.

    func login(_ username: String) throws {
        // Step 3: send the login, and wait for login_response or error, at most Lesson14.clientPatience milliseconds.
        //     A code of the server: throw it (ChatProblem); the connection stays open. Everything else closes.
        todo("step 3: log in")
    }

    func chat(_ content: String) throws {
        todo("step 4: say something: all of the frame, however little one send(2) takes")
    }

    func receive() throws -> ChatMessage? {
        // Step 5: the next message; first those that you kept. A type that you do not know: the next one.
        //     The end of the stream between two frames is nil; within a frame it is an error, ECONNRESET.
        todo("step 5: receive")
    }

    func logout() throws {
        todo("step 6: log out, wait for logout_response, close")
    }

    func close() {
        todo("step 7: close the descriptor, once")
    }
}
