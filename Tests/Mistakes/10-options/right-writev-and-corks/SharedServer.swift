import Course
import Sockets

/// A listener of its own, with SO_REUSEPORT alone.
func sharedServer(host: String, port: UInt16) throws {
    let address = try SocketAddress(host: host, port: port)
    let listener = try check("socket", socket(address.family, SOCK_STREAM, 0))
    defer { close(listener) }
    var on: Int32 = 1
    for option in [SO_REUSEADDR, SO_REUSEPORT] {
        try check("setsockopt", setsockopt(listener, SOL_SOCKET, option, &on, socklen_t(MemoryLayout<Int32>.size)))
    }
    try check("bind", address.withSockaddr { bind(listener, $0, $1) })
    try check("listen", listen(listener, 128))
    try serveClients(listener)
}
