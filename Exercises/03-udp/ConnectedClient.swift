// Exercise 03 connected-client: ask one question over a connected UDP socket, and wait no longer than you said.
//
// Calls that you need: socket(2), connect(2), send(2), poll(2), recv(2), clock_gettime(2) with CLOCK_MONOTONIC.
// Read: Lessons/03-udp/README.md#connect-without-a-connection      Check: lab check 03 connected-client
import Course
import Sockets

/// Sends `message` to the server once and returns its answer.
///
/// - Parameter timeout: how long to wait for the answer, at most.
/// - Throws: `SocketError` with `ECONNREFUSED` if nobody has the port; `RequestError.noAnswer` if the time is up.
func connectedClient(message: [UInt8], host: String, port: UInt16, timeout: Milliseconds) throws -> [UInt8] {
    // Step 1: make a datagram socket; close it on every way out:
    //     defer { close(client) }
    todo("step 1: make a datagram socket")

    // Step 2: connect it to the server, and send the message.
    // todo("step 2: connect and send")

    // Step 3: wait for the answer until the deadline, now + timeout. poll(2) waits for a number of milliseconds:
    //     var interest = pollfd(fd: client, events: Int16(POLLIN), revents: 0)
    //     let ready = poll(&interest, 1, milliseconds)     // 0: the time is up; -1: see errno
    // EINTR: go on waiting, but only for what is left of the time.
    // The exercises after this one wait in the same way: make the waiting a function of its own, say
    //     func receiveDatagram(on socket: Int32, until deadline: Int) throws
    //         -> (bytes: [UInt8], sender: SocketAddress?)?
    // todo("step 3: wait for the answer")
}
