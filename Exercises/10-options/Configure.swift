// Exercise 10 configure: tell a socket what to do differently.
//
// Calls that you need: setsockopt(2). Which level and which type each option has: socket(7), tcp(7).
// Read: Lessons/10-options/README.md#setting-an-option      Check: lab check 10 configure
import Course
import Sockets

/// - Parameter socket: any socket. It stays open.
/// - Parameter options: what is nil is left as it is.
/// - Throws: `SocketError`, with the option's name in `call`: `SocketError("setsockopt(TCP_NODELAY)", errno)`.
func configure(_ socket: Int32, _ options: SocketOptions) throws {
    // Step 1: SO_SNDBUF and SO_RCVBUF, of the level SOL_SOCKET. The value of most options is an Int32:
    //     var value: Int32 = …
    //     setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &value, socklen_t(MemoryLayout<Int32>.size))
    // Nine options are the same few lines with another name: write a function for them. It can throw the name, too.
    todo("step 1: set the sizes of the two buffers, if they are asked for")

    // Step 2: SO_REUSEPORT, and TCP_NODELAY, whose level is IPPROTO_TCP. 1 is on, 0 is off.

    // Step 3: SO_KEEPALIVE. With .on, also its timers TCP_KEEPIDLE, TCP_KEEPINTVL and TCP_KEEPCNT. Whose options are they?

    // Step 4: SO_LINGER takes a pair:  linger(l_onoff: 1, l_linger: seconds)

    // Step 5: SO_RCVTIMEO and SO_SNDTIMEO take a timeval: seconds, and microseconds below a million.
}
