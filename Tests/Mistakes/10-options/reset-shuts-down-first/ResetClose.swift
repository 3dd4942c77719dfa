import Course
import Sockets

func resetClose(_ socket: Int32) throws {
    defer { close(socket) }
    shutdown(socket, SHUT_RDWR)
    try set(socket, SOL_SOCKET, SO_LINGER, "SO_LINGER", to: linger(l_onoff: 1, l_linger: 0))
}
