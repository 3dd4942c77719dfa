import Course
import Sockets

func sharedServer(host: String, port: UInt16) throws {
    let listener = try makeListener(host: host, port: port, sharing: false)
    defer { close(listener) }
    try serveClients(listener)
}
