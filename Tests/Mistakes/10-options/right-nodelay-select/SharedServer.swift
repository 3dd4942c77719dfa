import Course
import Sockets

func sharedServer(host: String, port: UInt16) throws {
    let door = try openDoor(host, port) { try $0.flag("SO_REUSEPORT", SOL_SOCKET, SO_REUSEPORT, true) }
    defer { close(door) }
    try keepServing(door)
}
