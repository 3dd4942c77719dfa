import Course
import Sockets

func resetClose(_ socket: Int32) throws {
    var hard = linger(l_onoff: 1, l_linger: 0)
    let result = setsockopt(socket, SOL_SOCKET, SO_LINGER, &hard, socklen_t(MemoryLayout.size(ofValue: hard)))
    let code = errno
    close(socket)
    guard result == 0 else { throw SocketError("setsockopt(SO_LINGER)", code) }
}
