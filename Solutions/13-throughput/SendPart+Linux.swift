// sendfile(2) of Linux.
#if os(Linux)
import Sockets

/// For send(2): hold this back for a moment, more comes behind it.
let moreFollows: Int32 = MSG_MORE

/// - Returns: how many bytes the socket took, perhaps fewer than `count`; 0 at the end of the file; -1 with errno.
func sendPart(of file: Int32, from offset: Int, count: Int, to socket: Int32) -> Int {
    // With a position of its own it leaves the file's alone.
    var position = off_t(offset)
    return sendfile(socket, file, &position, count)
}
#endif
