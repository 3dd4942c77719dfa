// Exercise 10 shared-server: several servers on one port.
//
// Calls that you need: setsockopt(2) with SO_REUSEPORT.
// Read: Lessons/10-options/README.md#one-port-several-servers      Check: lab check 10 shared-server
import Course
import Sockets

/// As `requestServer`; but another process that runs this function may listen on the same address and port at the same
/// time. The kernel deals out new connections among them.
///
/// - Throws: `SocketError` with `EADDRINUSE` if somebody listens there who does not share.
func sharedServer(host: String, port: UInt16) throws {
    // Step 1: a listener with SO_REUSEPORT: set before bind, since bind is who looks at it. See makeListener's `sharing`.
    todo("step 1: make a listener that shares its port")

    // Step 2: serveClients does the rest.
}
