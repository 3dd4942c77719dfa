// Exercise 03 request: ask a question over a network that loses, repeats, reorders and delays.
//
// Calls that you need: socket(2), sendto(2), recvfrom(2), poll(2), clock_gettime(2) with CLOCK_MONOTONIC.
// Read: Lessons/03-udp/README.md#ask-again      Check: lab check 03 request
import Course
import Sockets

/// Asks up to `attempts` times, and waits for `timeout` after each. An attempt is one datagram:
///
///     request number (u32, big-endian)   attempt, from 1 (u32, big-endian)   message
///
/// The number is the same for all attempts of one call, and another one for every call. The server sends the first 8
/// bytes back as they were, and its own payload after them.
///
/// - Returns: the payload, and which attempt it answers.
/// - Throws: `RequestError.noAnswer` after the last attempt's timeout; `SocketError` if a datagram cannot be sent.
func request(
    message: [UInt8], host: String, port: UInt16, timeout: Milliseconds, attempts: Int
) throws -> Answer {
    // Step 1: make a datagram socket (and see that it is closed on every way out), and choose the request number.
    todo("step 1: make a datagram socket and choose a request number")

    // Step 2: for each attempt, put the 8 bytes and the message into one datagram, and send it.
    // todo("step 2: send an attempt")

    // Step 3: until this attempt's deadline, take what arrives, and pass over what is not an answer to your request:
    //     - what comes from another address than the server's
    //     - what is shorter than 8 bytes
    //     - another request's number, or an attempt that you have not made
    // None of these moves the deadline. An answer to an earlier attempt is late, and right.
    // todo("step 3: wait for an answer to one of your attempts")

    // Step 4: nobody answered the last attempt:
    //     throw RequestError.noAnswer
    // todo("step 4: give up")
}
