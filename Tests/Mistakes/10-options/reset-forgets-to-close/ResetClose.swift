import Course
import Sockets

func resetClose(_ socket: Int32) throws {
    var now = linger(l_onoff: 1, l_linger: 0)
    let size = socklen_t(MemoryLayout<linger>.size)
    try check("setsockopt(SO_LINGER)", setsockopt(socket, SOL_SOCKET, SO_LINGER, &now, size))
    close(socket)
}
