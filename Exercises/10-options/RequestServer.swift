// Exercise 10 request-server: requests and answers on one connection, and no answer waits 40 ms for nothing.
//
// Calls that you need: those of lesson 04, and perhaps setsockopt(2) with TCP_NODELAY.
// Read: Lessons/10-options/README.md#two-small-writes      Check: lab check 10 request-server
import Course
import Sockets

/// Runs until the process ends. One client after another.
///
/// - Parameter host: a numeric address, IPv4 or IPv6: bind exactly this one.
/// - Parameter port: in host order; 0 lets the kernel choose.
/// - Throws: `SocketError` if it cannot listen there. What goes wrong with one client is not thrown.
func requestServer(host: String, port: UInt16) throws {
    let listener = try makeListener(host: host, port: port, sharing: false)
    defer { close(listener) }
    try serveClients(listener)
}

/// The listening socket. The other server of this lesson uses it, too.
func makeListener(host: String, port: UInt16, sharing: Bool) throws -> Int32 {
    // Step 1: socket, SO_REUSEADDR, bind and listen, as in lesson 04. Leave `sharing` for the next exercise.
    todo("step 1: make the listener")
}

/// Accepts for ever. The other server of this lesson uses it, too.
func serveClients(_ listener: Int32) throws {
    // Step 2: accept a client, serve it, close its connection; then the next. EINTR and ECONNABORTED: go on.
    todo("step 2: serve one client after another")

    // Step 3: a client sends lines. Keep what has come until a line is complete: recv knows nothing of lines. A line of more
    // than Lesson10.longestLine bytes, and bytes behind the last newline, have no answer: then the connection is closed.

    // Step 4: for each line send its length in decimal, a newline, and the line in upper case (ASCII):
    //     "hello\n"  →  "5\nHELLO"
    // How many sends is that? What does the kernel do with the second small one?
}
