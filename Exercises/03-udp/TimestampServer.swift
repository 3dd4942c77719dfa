// Exercise 03 timestamp-server: tell every sender when its datagram arrived.
//
// Calls that you need: those of uppercase-server, and clock_gettime(2) with CLOCK_REALTIME.
// Read: Lessons/03-udp/README.md#the-timestamp-server      Check: lab check 03 timestamp-server
import Course
import Sockets

/// Answers each datagram with the milliseconds since 1970 at which it arrived, in decimal, one space, and the datagram:
///
///     hello   ->   1700000000123 hello
///
/// Runs until the process ends. Host, port and errors are as for `uppercaseServer`.
func timestampServer(host: String, port: UInt16) throws {
    // Step 1: make the socket and bind it.
    todo("step 1: make a datagram socket and bind it")

    // Step 2: for ever: receive a datagram, and look at the clock at once.
    //     var time = timespec()               // seconds and nanoseconds since 1970
    //     clock_gettime(CLOCK_REALTIME, &time)
    // todo("step 2: receive a datagram, note the time")

    // Step 3: put the answer together and send it.
    //     - Array("\(milliseconds) ".utf8) are the bytes of the number and the space.
    //     - The answer is longer than the datagram. What if that is too long for sendto?
    // todo("step 3: send the time and the datagram")
}
