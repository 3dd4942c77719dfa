import Course
import Sockets

/// The listener is made here in small steps, each with a name.
func sharedServer(host: String, port: UInt16) throws {
    let address = try SocketAddress(host: host, port: port)
    let listener = socket(address.family, Int32(SOCK_STREAM.rawValue), 0)
    if listener < 0 {
        throw SocketError("socket", errno)
    }
    defer {
        close(listener)
    }
    // Both: back at once after a restart, and together with whoever shares.
    try turnOn(listener, SO_REUSEADDR, "SO_REUSEADDR")
    try turnOn(listener, SO_REUSEPORT, "SO_REUSEPORT")
    let bound = address.withSockaddr { pointer, length in
        bind(listener, pointer, length)
    }
    if bound < 0 {
        throw SocketError("bind", errno)
    }
    if listen(listener, Int32(SOMAXCONN)) < 0 {
        throw SocketError("listen", errno)
    }
    try serveClients(listener)
}

private func turnOn(_ socket: Int32, _ option: Int32, _ name: String) throws {
    var one: Int32 = 1
    if setsockopt(socket, SOL_SOCKET, option, &one, socklen_t(MemoryLayout<Int32>.size)) < 0 {
        throw SocketError("setsockopt(\(name))", errno)
    }
}
