// Exercise 15 unix-echo-server: a stream server whose address is a path.
//
// Calls that you need: socket(2) with AF_UNIX, lstat(2), connect(2), unlink(2), bind(2), chmod(2), listen(2), poll(2),
// accept(2), recv(2), send(2), close(2).
// Read: Lessons/15-unix-and-raw/README.md#a-path-for-an-address      Check: lab check 15 unix-echo-server
import Course
import Sockets

/// Sends back everything that a client sends, one client after another, until `stop` becomes readable; then closes what it
/// opened, removes its file and returns. `stop` is the caller's.
///
/// - Parameter path: where the socket's file is made, for its owner only (mode 0600).
/// - Throws: `SocketError`: `ENAMETOOLONG` if the path does not fit, `EADDRINUSE` if somebody listens there or the file is
///   no socket.
func unixEchoServer(path: String, stop: Int32) throws {
    // Step 1: the address. It refuses a path of more than 107 bytes; look into it: Sources/Sockets/SocketAddress.swift.
    //     let address = try SocketAddress(unixPath: path)
    todo("step 1: the address, and a socket of its family")

    // Step 2: is there a file already? No socket (lstat, S_IFMT, S_IFSOCK): EADDRINUSE. A socket: try to connect to it.
    //     ECONNREFUSED says that nobody listens: a leftover, remove it. Anything else: EADDRINUSE.

    // Step 3: bind, chmod to 0600, listen. The mode before listen: until then nobody can connect.

    // Step 4: wait with poll for the listener or `stop`; accept a client; send back what it sends until it ends, breaks, or
    //     `stop` becomes readable.

    // Step 5: at the end: close, and unlink the file. Closing does not remove it.
}
