import Course
import Sockets

func resetClose(_ socket: Int32) throws {
    var now = linger(l_onoff: 1, l_linger: 0)
    let result = setsockopt(socket, SOL_SOCKET, SO_LINGER, &now, socklen_t(MemoryLayout<linger>.size))
    let code = errno
    close(socket)
    if result != 0 { throw SocketError("setsockopt(SO_LINGER)", code) }
}
