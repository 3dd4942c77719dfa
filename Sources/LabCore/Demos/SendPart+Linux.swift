// sendfile(2) of Linux.
#if os(Linux)
import Sockets

/// - Returns: how many bytes the socket took; 0 at the end of the file; -1 with errno.
func sendPart(of file: Int32, from offset: Int, count: Int, to socket: Int32) -> Int {
    var position = off_t(offset)
    return Sockets.sendfile(socket, file, &position, count)
}
#endif
