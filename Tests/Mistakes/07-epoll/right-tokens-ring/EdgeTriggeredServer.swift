import Course
import Sockets

func edgeTriggeredServer(host: String, port: UInt16) throws {
    let server = try Server(host: host, port: port, trigger: .edge, clock: NoClock())
    defer { server.closeAll() }
    while true { try server.step() }
}
