import Course
import Sockets

func resetClose(_ socket: Int32) throws {
    defer { close(socket) }
    try set(socket, SOL_SOCKET, SO_LINGER, "SO_LINGER", to: linger(l_onoff: 0, l_linger: 0))
}
