import Course
import Sockets

func sharedServer(host: String, port: UInt16) throws {
    let listener = try makeListener(host: host, port: port, sharing: false)
    defer { close(listener) }
    var on: Int32 = 1
    try check(
        "setsockopt(SO_REUSEPORT)",
        setsockopt(listener, SOL_SOCKET, SO_REUSEPORT, &on, socklen_t(MemoryLayout<Int32>.size)))
    try serveClients(listener)
}
