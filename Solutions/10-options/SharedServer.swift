import Course
import Sockets

/// Each process has a queue of its own on the same port, and the kernel chooses by the addresses and ports of the connection
/// whose queue it goes into (socket(7), SO_REUSEPORT). Whoever ends takes what is in its own queue along.
func sharedServer(host: String, port: UInt16) throws {
    let listener = try makeListener(host: host, port: port, sharing: true)
    defer { close(listener) }
    try serveClients(listener)
}
