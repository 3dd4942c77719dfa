// Exercise 10 nonblocking-exchange: ask and get an answer on a socket whose calls never wait.
//
// Calls that you need: fcntl(2), send(2), recv(2), and poll(2) or select(2).
// Read: Lessons/10-options/README.md#calls-that-do-not-wait      Check: lab check 10 nonblocking-exchange
import Course
import Sockets

/// - Parameter socket: a connected TCP socket. It stays open, and its flags are afterwards what they were before.
/// - Parameter request: all of it is sent.
/// - Parameter answerLength: so many bytes are taken from the socket, and no more. The peer may begin to answer before
///   it has the whole request.
/// - Throws: `StreamError.ended(received:)` if the stream ends before, `SocketError` if it breaks.
func nonblockingExchange(_ socket: Int32, request: [UInt8], answerLength: Int) throws -> [UInt8] {
    // Step 1: read the flags with fcntl(socket, F_GETFL), and set them again with O_NONBLOCK added. (F_SETFL sets all of
    // them: what you leave out is gone.) However this function ends, set the old ones again: defer.
    todo("step 1: add O_NONBLOCK to the socket's flags")

    // Step 2: wait with poll until the socket is readable, or, while there is something left to send, writable:
    //     var interest = pollfd(fd: socket, events: Int16(POLLIN | POLLOUT), revents: 0)
    //     poll(&interest, 1, -1)

    // Step 3: send what is left of the request, as much as goes. recv what has come, at most what is still missing.
    // EAGAIN means "not now", and is no error: back to step 2. Nor is EINTR, from any of the three calls.

    // Step 4: done when everything is sent and the whole answer is there. A recv of 0 before that is the end.
}
