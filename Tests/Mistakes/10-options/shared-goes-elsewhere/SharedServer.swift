import Course
import Sockets

func sharedServer(host: String, port: UInt16) throws {
    let listener = try bound(host, port)
    defer { close(listener) }
    try check("listen", listen(listener, SOMAXCONN))
    try serveClients(listener)
}

private func bound(_ host: String, _ port: UInt16) throws -> Int32 {
    let address = try SocketAddress(host: host, port: port)
    let listener = try check("socket", socket(address.family, SOCK_STREAM, 0))
    try set(listener, SOL_SOCKET, SO_REUSEADDR, "SO_REUSEADDR", to: 1 as Int32)
    try set(listener, SOL_SOCKET, SO_REUSEPORT, "SO_REUSEPORT", to: 1 as Int32)
    if address.withSockaddr({ bind(listener, $0, $1) }) == 0 { return listener }
    close(listener)
    return try bound(host, 0)
}
