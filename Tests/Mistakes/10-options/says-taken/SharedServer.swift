import Course
import Sockets

func sharedServer(host: String, port: UInt16) throws {
    guard let listener = try? makeListener(host: host, port: port, sharing: true) else {
        print("taken")
        return
    }
    defer { close(listener) }
    try serveClients(listener)
}
