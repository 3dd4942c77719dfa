import Course
import Sockets

func resetClose(_ socket: Int32) throws {
    var atOnce = linger()
    atOnce.l_onoff = 1
    atOnce.l_linger = 0
    let refusal =
        setsockopt(socket, SOL_SOCKET, SO_LINGER, &atOnce, socklen_t(MemoryLayout.size(ofValue: atOnce))) == 0
        ? nil : SocketError("setsockopt(SO_LINGER)", errno)
    close(socket)
    if let refusal { throw refusal }
}
