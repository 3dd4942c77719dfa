import Course
import Sockets

func resetClose(_ socket: Int32) throws {
    let atOnce: [Int32] = [1, 0]
    let result = setsockopt(socket, SOL_SOCKET, SO_LINGER, atOnce, socklen_t(atOnce.count * MemoryLayout<Int32>.size))
    let code = result == 0 ? 0 : errno
    // Refused or not, it is closed, and once: after EINTR it is closed, too.
    close(socket)
    if code != 0 { throw SocketError("setsockopt(SO_LINGER)", code) }
}
