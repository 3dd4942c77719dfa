import Course
import Sockets

/// Runs until the process ends; serves many clients at once.
///
/// - Parameter host: a numeric address, IPv4 or IPv6: bind exactly this one.
/// - Parameter port: in host order; 0 lets the kernel choose.
/// - Throws: `SocketError` if it cannot listen there. What goes wrong with one client is not thrown.
func echoServer(host: String, port: UInt16) throws {
    todo("step 1: make a listening socket")

}
